"""A version whose requirements the default environment does not satisfy is served from its own environment."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("skops")
from registered import Registry
from serving_units import UV, Units, watching
from test_follower import EXAMPLE, answering, following, registry, settings, status, tracking_uri, units, until
from trackbox_serving.environments.build import BASE, Builder
from trackbox_serving.environments.place import Needs, environment
from trackbox_serving.follower import environments as asking
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.unix import ask

__all__ = ["registry", "settings", "tracking_uri", "units"]

OLDER = "1.8.0"
PINS = [f"scikit-learn=={OLDER}", "mlflow==2.22.0"]
# This program saves a model with the packages of the environment whose Python runs it.
SAVE = "import sys, pathlib, registered; registered.save(pathlib.Path(sys.argv[1]), 2.0, pip_requirements=sys.argv[2:])"


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Return a function that saves a model with an older scikit-learn."""
    folder, root = (tmp_path_factory.mktemp(name) for name in ("asked", "packages"))
    needs = Needs((f"scikit-learn=={OLDER}", "skops"))
    wanted = {needs.key(BASE): {"requirements": list(needs.requirements), "preferences": [], "asked": "1"}}
    (folder / "wanted.json").write_text(json.dumps({"environments": wanted}))
    Builder(str(UV), folder, root, 4096, 300).run()
    found = environment(root, needs, BASE)
    assert found

    def save(path: Path) -> None:
        command = [str(found / "bin/python"), "-c", SAVE, str(path), *PINS]
        subprocess.run(command, cwd=Path(__file__).parent, check=True, timeout=120)

    return save


def test_a_model_of_an_older_library_is_served_with_its_packages(
    settings: Settings,
    registry: Registry,
    older: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "STAYS", 1.0)
    first = registry.add()
    older(tmp_path / "model")
    second = registry.add_folder(tmp_path / "model")
    registry.point(first)
    with watching(settings.shared) as running, following(settings) as follower:
        until(lambda: answering(follower) == first)
        registry.point(second)
        until(lambda: registry.tag(second).startswith("prepares its packages since 20"))
        found = status(settings, registry)
        assert (found["live"]["version"], found["preparing"]) == (first, second)
        assert found["candidate"] == f"The packages of version {second} are prepared."
        assert answering(follower) == first
        until(lambda: answering(follower) == second, 300)
        scores = json.loads(ask(follower.links.folder / "champion.sock", "/invocations", EXAMPLE, 5).body)
        wanted = [1 / (1 + math.exp(-2 * (a - 1.5))) for a in (0.0, 3.0)]
        assert [row[1] for row in scores["predictions"]] == pytest.approx(wanted)
        until(lambda: registry.tag(second).startswith("served since "))
        assert "mlflow-skinny==2.22.0 (installed: " in registry.tag(second)
        process = next(each.process for each in running.processes.values() if each.version.version == second)
        program = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[0]
        folder = Path(program).parents[1]
        assert folder.parent == settings.shared.environments
        assert list(folder.glob(f"lib/python3*/site-packages/scikit_learn-{OLDER}.dist-info"))
    # Simulate a restore, after which the version has no environment. Requests wait until it has been made again.
    shutil.rmtree(settings.shared.environments)
    shutil.rmtree(settings.shared.run)
    settings.shared.run.mkdir()
    with watching(settings.shared), following(settings) as follower:
        until(lambda: status(settings, registry)["preparing"] == second)
        until(lambda: answering(follower) == second, 300)
        until(lambda: not status(settings, registry)["preparing"])
        # The environment is kept for a rollback while its version is the previous one, and removed after that.
        registry.point(first)
        until(lambda: answering(follower) == first)
        assert folder.is_dir()
        registry.point(registry.add(weight=3))
        until(lambda: not folder.exists())
    shutil.rmtree(settings.shared.run)


def test_packages_that_cannot_be_installed_are_a_reason_to_refuse_and_the_old_version_serves_on(
    settings: Settings, registry: Registry, units: Units
) -> None:
    good, bad = registry.add(), registry.add(pip_requirements=["scikit-learn==0.24.1"])
    registry.point(good)
    with following(settings) as follower:
        until(lambda: answering(follower) == good)
        registry.point(bad)
        until(lambda: registry.tag(bad).startswith("refused: "))
        assert "cannot be installed: Because scikit-learn==0.24.1 has no usable wheels" in registry.tag(bad)
        found = status(settings, registry)
        assert (found["live"]["version"], found["refused"]["version"], found["preparing"]) == (good, bad, "")
        assert answering(follower) == good


def test_without_environments_such_a_version_is_refused(settings: Settings, registry: Registry, units: Units) -> None:
    bad = registry.add(pip_requirements=[f"scikit-learn=={OLDER}"])
    registry.point(bad)
    with following(replace(settings, own_environments=False)):
        until(lambda: registry.tag(bad).startswith("refused: "))
        assert f"lacks what the model needs: scikit-learn=={OLDER} (installed: " in registry.tag(bad)


def test_an_alias_that_moves_on_ends_the_preparation(settings: Settings, registry: Registry) -> None:
    first, second = registry.add(), registry.add(pip_requirements=[f"scikit-learn=={OLDER}"])
    wanted = settings.shared.state / "environments/wanted.json"
    registry.point(second)
    # Nothing prepares environments in this test, so the preparation does not end.
    with watching(settings.shared, packages=False), following(settings) as follower:
        until(lambda: registry.tag(second).startswith("prepares its packages"))
        assert len(json.loads(wanted.read_text())["environments"]) == 1
        assert follower.version(second).folder.exists()
        registry.point(first)
        until(lambda: answering(follower) == first)
        until(lambda: json.loads(wanted.read_text())["environments"] == {})
        until(lambda: not follower.version(second).folder.exists())
    shutil.rmtree(settings.shared.run)
