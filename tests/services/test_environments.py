"""Tests of the program that prepares environments, with the real uv and package index.

Further tests check how the follower requests environments from this program. They need neither uv nor the index.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("yaml")
import trackbox_serving
from serving_units import UV
from trackbox_serving.environments import build
from trackbox_serving.environments.build import BASE, Builder
from trackbox_serving.environments.place import Needs, Result, environment
from trackbox_serving.follower import environments as asking
from trackbox_serving.follower.environments import Environments
from trackbox_serving.follower.errors import Refused, Unavailable
from trackbox_serving.follower.settings import Settings
from trackbox_serving.settings import Settings as Shared

SIX = Needs(("six==1.16.0",))
CLOSED = "http://127.0.0.1:9/simple"


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """Return a builder of environments without the server's packages, whose installation would take a minute."""
    monkeypatch.setattr(build, "PINNED", ())
    monkeypatch.setattr(build, "FREE", ())
    for name in ("asked", "root"):
        (tmp_path / name).mkdir()
    return Builder(str(UV), tmp_path / "asked", tmp_path / "root", 1024, 300)


def ask(builder: Builder, *needs: Needs, asked: str = "1", keep_others: bool = False) -> None:
    """Write requests for environments, like the follower."""
    lists = {
        each.key(BASE): {
            "requirements": list(each.requirements), "preferences": list(each.preferences), "asked": asked,
        }
        for each in needs
    }  # fmt: skip
    text = json.dumps({"environments": lists, "keep_others": keep_others})
    (builder.folder / "wanted.json").write_text(text)


def answer(builder: Builder, needs: Needs) -> Result:
    """Return the result of a request."""
    found = Result.read(builder.root, needs.key(BASE))
    assert found
    return found


def folders(builder: Builder) -> list[str]:
    """Return the names of all folders of environments, complete or not."""
    return sorted(path.name for path in builder.root.iterdir() if path.name != "results")


def version_in(folder: Path, package: str) -> str:
    """Return the version of a package in an environment, as the environment's Python reports it."""
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    command = [str(folder / "bin/python"), "-I", "-c", code, package]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_an_environment_has_what_was_asked_for_and_is_not_made_again(builder: Builder) -> None:
    ask(builder, SIX)
    builder.run()
    folder = environment(builder.root, SIX, BASE)
    assert folder
    assert version_in(folder, "six") == "1.16.0"
    assert answer(builder, SIX).packages == {"six": "1.16.0"}
    assert "--hash=sha256:" in (folder / "lock.txt").read_text()
    # The environment contains bytecode, and no file that another user may write to.
    assert list(folder.glob("lib/python3*/site-packages/__pycache__/six.*.pyc"))
    modes = [path.lstat().st_mode for path in folder.rglob("*") if not path.is_symlink()]
    assert not any(mode & 0o022 for mode in modes)
    made = folder.stat().st_ctime_ns
    ask(builder, SIX, asked="2")
    builder.run()
    assert folder.stat().st_ctime_ns == made
    assert folders(builder) == [folder.name]


def test_versions_with_the_same_packages_share_an_environment_which_goes_with_the_last_of_them(
    builder: Builder,
) -> None:
    other = Needs(("six<1.16.1,>=1.16",))
    ask(builder, SIX, other)
    builder.run()
    names = {answer(builder, each).environment for each in (SIX, other)}
    assert len(names) == 1
    assert folders(builder) == sorted(names)
    ask(builder, other)
    builder.run()
    assert folders(builder) == sorted(names)
    assert Result.read(builder.root, SIX.key(BASE)) is None
    ask(builder)
    builder.run()
    assert folders(builder) == []


def test_an_upgrade_adds_environments_and_removes_none(builder: Builder) -> None:
    ask(builder, SIX)
    builder.run()
    other = Needs(("idna==3.10",))
    ask(builder, other, keep_others=True)
    builder.run()
    assert len(folders(builder)) == 2
    assert answer(builder, SIX).environment
    assert answer(builder, other).environment


def test_a_pin_that_may_give_way_gives_way(builder: Builder) -> None:
    free = Needs(("six",), ("six==1.15.0",))
    bound = Needs(("six>=1.16",), ("six==1.15.0",))
    ask(builder, free, bound)
    builder.run()
    assert answer(builder, free).packages == {"six": "1.15.0"}
    assert answer(builder, bound).packages != {"six": "1.15.0"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("no-such-package-of-trackbox==1.0",), "no-such-package-of-trackbox was not found"),
        (("scikit-learn==0.24.1",), "scikit-learn==0.24.1 has no usable wheels"),
        (("six==1.16.0", "six<1.16"), "six==1.16.0"),
        (("six @ https://example.org/six.whl",), "is not a name with versions"),
        (("--index-url=https://example.org",), "is not a name with versions"),
    ],
)
def test_packages_that_cannot_be_installed_are_refused_with_the_reason(
    builder: Builder, lines: tuple[str, ...], reason: str
) -> None:
    needs = Needs(lines)
    ask(builder, needs)
    builder.run()
    found = answer(builder, needs)
    assert (found.environment, found.unavailable, found.asked) == ("", "", "1")
    assert reason in found.refused
    assert folders(builder) == []


def test_an_index_that_is_away_is_no_reason_to_refuse_and_the_next_request_tries_again(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(builder, SIX)
    with monkeypatch.context() as context:
        context.setenv("UV_DEFAULT_INDEX", CLOSED)
        context.setenv("UV_HTTP_RETRIES", "0")
        builder.run()
    found = answer(builder, SIX)
    assert (found.environment, found.refused) == ("", "")
    assert "cannot be installed now" in found.unavailable
    assert CLOSED not in found.unavailable
    # The same request is not tried again, because it has a result.
    builder.run()
    assert answer(builder, SIX) == found
    ask(builder, SIX, asked="2")
    builder.run()
    assert answer(builder, SIX).environment


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda builder: replace(builder, seconds=0), "were not installed within 0 s"),
        (lambda builder: replace(builder, most_mb=0), "take more than 0 MB"),
    ],
)
def test_an_installation_has_limits(builder: Builder, change: Callable[[Builder], Builder], reason: str) -> None:
    ask(builder, SIX)
    change(builder).run()
    assert reason in answer(builder, SIX).refused
    assert folders(builder) == []


def test_a_full_disk_is_no_reason_to_refuse(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FREE_BYTES", 1 << 60)
    ask(builder, SIX)
    builder.run()
    assert "left for packages" in answer(builder, SIX).unavailable


def test_what_nobody_asks_for_any_more_is_not_installed(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    run, calls = Builder.uv_run, []

    def withdraw(self: Builder, *arguments: object) -> None:
        ask(builder)
        calls.append(arguments)
        run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Builder, "uv_run", withdraw)
    ask(builder, SIX)
    builder.run()
    assert len(calls) == 1
    assert Result.read(builder.root, SIX.key(BASE)) is None
    assert folders(builder) == []


def test_an_environment_for_another_default_one_is_kept_and_not_made(builder: Builder) -> None:
    ask(builder, SIX)
    builder.run()
    [name] = folders(builder)
    key = SIX.key("environment-of-later")
    answer(builder, SIX).write(builder.root, key)
    wanted = {key: {"requirements": list(SIX.requirements), "preferences": [], "asked": "2"}}
    wanted |= {"0" * 16: wanted[key]}
    (builder.folder / "wanted.json").write_text(json.dumps({"environments": wanted}))
    builder.run()
    assert folders(builder) == [name]
    assert Result.read(builder.root, "0" * 16) is None


def test_an_interrupted_installation_leaves_no_half_environment(builder: Builder) -> None:
    """Kill the whole program while it installs the server's packages."""
    ask(builder, SIX)
    program = str(Path(trackbox_serving.__file__).parents[1])
    command = [sys.executable, "-m", "trackbox_serving.environments.build", builder.uv]
    command += [str(builder.folder), str(builder.root), "2048", "300"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": program}, start_new_session=True)
    end = time.monotonic() + 120
    while not (builder.root / ".part/environment/pyvenv.cfg").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    # Kill the process group, like systemd, which kills all processes of a unit.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert folders(builder) == [".part"]
    assert environment(builder.root, SIX, BASE) is None
    # Simulate an interrupted removal of another environment.
    (builder.root / ".gone-0123456789abcdef/lib").mkdir(parents=True)
    builder.run()
    assert folders(builder) == [answer(builder, SIX).environment]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a follower."""
    return Settings(Shared(state=tmp_path, environments=tmp_path / "root"))


def test_an_answer_is_that_of_the_last_request(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    root, needs = settings.shared.environments, Needs(("six==1.16.0",))
    root.mkdir()
    key = needs.key(BASE)
    Result(refused="an old reason", asked="before").write(root, key)
    asked = Environments(settings)
    asked.need("fraud", [needs])
    assert not asked.ready(needs)
    Result(unavailable="no index", asked=asked.known[key].asked).write(root, key)
    with pytest.raises(Unavailable, match="no index"):
        asked.ready(needs)
    # The environment has been requested again.
    assert not asked.ready(needs)
    Result(refused="a reason", asked=asked.known[key].asked).write(root, key)
    with pytest.raises(Refused, match="a reason"):
        asked.ready(needs)
    # Now the builder does not respond in time.
    asked.need("fraud", [])
    asked.need("fraud", [needs])
    monkeypatch.setattr(asking, "LATE", -settings.environment_seconds - 1)
    with pytest.raises(Unavailable, match="trackbox-serving-environments does not answer"):
        asked.ready(needs)


def test_an_environment_of_another_model_stays_when_the_follower_starts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Needs(("six==1.16.0",)), Needs(("idna==3.10",))
    before = Environments(settings)
    before.need("fraud", [ours])
    before.need("churn", [theirs])

    def listed() -> set[str]:
        return set(json.loads(before.path.read_text())["environments"])

    keys = {each.key(BASE) for each in (ours, theirs)}
    assert listed() == keys
    monkeypatch.setattr(asking, "STAYS", 0.0)
    after = Environments(settings)
    after.leaving = dict.fromkeys(keys, math.inf)
    after.need("fraud", [ours])
    assert listed() == keys
    after.leaving = dict.fromkeys(after.leaving, 0.0)
    after.write()
    assert listed() == {ours.key(BASE)}
