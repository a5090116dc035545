"""The follower with a real registry, and with real processes instead of systemd's units."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("skops")
from registered import Registry, save
from servers import free_port, mlflow_server
from serving_units import Units, watching
from trackbox_serving.files import NotRegularError, read_regular
from trackbox_serving.follower import replay
from trackbox_serving.follower.__main__ import Follower
from trackbox_serving.follower.model import ModelFollower
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.unix import ask
from trackbox_serving.settings import ModelSetting
from trackbox_serving.settings import Settings as Shared

NUMBERS = itertools.count()
# Status files. If `until` times out, its error message contains their content.
STATES: list[Path] = []
EXAMPLE = {"dataframe_split": {"columns": ["a", "b"], "data": [[0.0, 1.0], [3.0, 0.0]]}}


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


@pytest.fixture
def registry(tracking_uri: str) -> Registry:
    return Registry(tracking_uri, f"a model, № {next(NUMBERS)} of {os.getpid()}")


@pytest.fixture
def settings(tracking_uri: str, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    # The path of a Unix socket is limited to 107 bytes, so the folder of the sockets is in /tmp.
    folder = tmp_path_factory.mktemp("s")
    run = Path(f"/tmp/s{os.getpid()}-{next(NUMBERS)}")
    for path in (folder, run):
        path.mkdir(exist_ok=True)
    STATES[:] = [folder / "status.json"]
    models = (ModelSetting(registry.name),)
    # Each test has its own folder of environments, so that each test must prepare them.
    shared = Shared(models, folder, run, folder / "packages", processes=1, tracking_uri=tracking_uri)
    return Settings(shared, poll_seconds=0.1, load_seconds=120, drain_seconds=0.2, url="https://ml.example.org")


@pytest.fixture
def units(settings: Settings) -> Iterator[Units]:
    with watching(settings.shared) as running:
        yield running
    shutil.rmtree(settings.shared.run)


@contextmanager
def following(settings: Settings) -> Iterator[ModelFollower]:
    """Run a follower, and stop it at the end."""
    follower = Follower(settings)
    thread = threading.Thread(target=follower.run)
    thread.start()
    try:
        yield follower.models[0]
    finally:
        follower.stop.set()
        for model in follower.models:
            model.stop.set()
        thread.join(20)


def until(condition: Callable[[], Any], seconds: float = 150) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "\n".join(path.read_text() for path in STATES)
        time.sleep(0.05)


def answering(follower: ModelFollower, link: str = "champion.sock") -> str:
    """Return the model version that responds to a client; empty if none responds."""
    try:
        return ask(follower.links.folder / link, "/invocations", EXAMPLE, 5).version
    except OSError:
        return ""


@contextmanager
def served_twice(settings: Settings, registry: Registry) -> Iterator[tuple[str, str, ModelFollower]]:
    """Serve a version, then a second one; yield both and the follower, which stops after the `with` block."""
    first, second = registry.add(), registry.add(weight=2)
    registry.point(first)
    with watching(settings.shared), following(settings) as follower:
        until(lambda: answering(follower) == first)
        registry.point(second)
        until(lambda: answering(follower) == second)
        yield first, second, follower


def status(settings: Settings, registry: Registry) -> dict[str, Any]:
    """Return the entry of the model in status.json."""
    found: dict[str, Any] = json.loads((settings.shared.state / "status.json").read_text())["models"][registry.name]
    return found


def test_the_version_of_the_alias_is_served_and_the_registry_says_so(
    settings: Settings, registry: Registry, units: Units
) -> None:
    with following(settings) as follower:
        until(lambda: "no version" in follower.mine.problem)
        assert answering(follower) == ""
        version = registry.add()
        registry.point(version)
        until(lambda: answering(follower) == version)
        until(lambda: registry.tag(version).startswith("served since 20"))
        found = status(settings, registry)
        assert (found["live"]["version"], found["live"]["threshold"], found["problem"]) == (version, 0.5, "")
        about = follower.version(version).read_about()
        assert (about.name, about.version, about.alias) == (registry.name, version, "champion")
        # The follower writes the live version's metrics, with the model's name, for Prometheus.
        metrics = settings.shared.run / "metrics.prom"
        until(lambda: f'trackbox_serving_requests_total{{model="{registry.name}"' in metrics.read_text(), 30)
        assert f'trackbox_serving_behind{{alias="champion",model="{registry.name}"}} 0.0' in metrics.read_text()


def test_a_moved_alias_switches_and_the_version_before_is_back_without_a_new_process(
    settings: Settings, registry: Registry, units: Units
) -> None:
    first, second, third = (registry.add(weight=weight) for weight in (1, 2, 3))
    registry.point(first)
    with following(settings) as follower:
        until(lambda: answering(follower) == first)
        registry.point(second)
        until(lambda: answering(follower) == second)
        assert answering(follower, "previous.sock") == first
        assert answering(follower, f"by-number/{first}.sock") == first
        process = next(each for each in units.processes.values() if each.version.version == first)
        number = process.process.pid
        start = time.monotonic()
        registry.point(first)
        until(lambda: answering(follower) == first)
        assert time.monotonic() - start < 2
        assert (process.process.pid, process.starts) == (number, 1)
        registry.point(third)
        until(lambda: answering(follower) == third)
        # The second version is now neither live nor previous, so its process must stop and its files must be deleted.
        until(lambda: len(units.processes) == 2 and not follower.version(second).folder.exists())
        assert not (follower.links.folder / f"by-number/{second}.sock").is_symlink()


def test_no_request_fails_while_the_alias_moves(settings: Settings, registry: Registry, units: Units) -> None:
    versions = [registry.add(weight=weight) for weight in (1, 2)]
    registry.point(versions[0])
    wrong: list[str] = []
    seen: set[str] = set()
    over = threading.Event()
    with following(settings) as follower:
        until(lambda: answering(follower) == versions[0])
        scores: dict[str, bytes] = {}

        def client() -> None:
            while not over.is_set():
                try:
                    answer = ask(follower.links.folder / "champion.sock", "/invocations", EXAMPLE, 10)
                except OSError as error:
                    wrong.append(repr(error))
                    continue
                seen.add(answer.version)
                if answer.status != 200 or scores.setdefault(answer.version, answer.body) != answer.body:
                    wrong.append(f"{answer.status} of version {answer.version}")

        clients = [threading.Thread(target=client) for _ in range(4)]
        for each in clients:
            each.start()
        for turn in range(8):
            version = versions[(turn + 1) % 2]
            registry.point(version)
            until(lambda wanted=version: answering(follower) == wanted)  # type: ignore[misc]
        over.set()
        for each in clients:
            each.join()
    assert wrong == []
    assert seen == set(versions)
    assert len(set(scores.values())) == 2


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Return a function that replaces a text in a file of a model folder."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


REFUSED = {
    "pickle": ({"serialization_format": "cloudpickle"}, None, "Only skops is safe to load"),
    "flavour": ({}, rewrite("MLmodel", "loader_module: mlflow.sklearn", "loader_module: os"), "runs code of its own"),
    "pins": ({"pip_requirements": ["scikit-learn==0.1"]}, None, "Its packages cannot be installed: Because "),
    "package": ({"pip_requirements": ["lightgbm==4.6.0"]}, None, "a package that could run code"),
    "missing file": ({}, lambda folder: (folder / "model.skops").unlink(), "not one file in its folder"),
    "damaged file": ({}, lambda folder: (folder / "model.skops").write_bytes(b"PK"), "cannot be read"),
    "no example": ({"input_example": None}, None, "no input example"),
    "another signature": (
        {},
        rewrite("MLmodel", '"name": "a"', '"name": "another"'),
        "The version answers 400",
    ),
    "other scores": ({}, rewrite("example_scores.json", "[[", "[[1"), "scores row 1 of its input example differently"),
    "other number of scores": (
        {},
        rewrite("example_scores.json", "[[", "[[0.5, 0.5], ["),
        "logged with 5 predictions for its input example, and gives 4",
    ),
    "broken scores": ({}, rewrite("example_scores.json", "}", ""), "example_scores.json cannot be read"),
    "no MLmodel": ({}, lambda folder: (folder / "MLmodel").unlink(), "MLmodel is missing"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_version_is_refused_with_its_reason(
    settings: Settings, registry: Registry, units: Units, what: str
) -> None:
    options, change, reason = REFUSED[what]
    bad = registry.add(change, **options)  # type: ignore[arg-type]
    registry.point(bad)
    with following(settings) as follower:
        until(lambda: registry.tag(bad).startswith("refused: ") and status(settings, registry)["refused"]["tagged"])
        assert registry.tag(bad).startswith("refused: ")
        assert reason in registry.tag(bad)
        assert status(settings, registry)["refused"]["version"] == bad
        until(lambda: not units.processes and not follower.version(bad).folder.exists())
        assert answering(follower) == ""


def test_a_version_of_another_python_that_is_data_alone_is_served_and_says_so(
    settings: Settings, registry: Registry, units: Units
) -> None:
    version = registry.add(rewrite("python_env.yaml", "python: 3.", "python: 2."))
    registry.point(version)
    with following(settings) as follower:
        until(lambda: answering(follower) == version)
        until(lambda: "other versions of packages than its own: Python 2." in registry.tag(version))
        assert "Python 2." in status(settings, registry)["live"]["differs"]


def test_the_old_version_serves_on_when_a_candidate_is_refused_and_the_candidate_is_not_tried_again(
    settings: Settings, registry: Registry, units: Units
) -> None:
    good, bad = registry.add(), registry.add(serialization_format="cloudpickle")
    registry.point(good)
    with following(settings) as follower:
        until(lambda: answering(follower) == good)
        registry.point(bad)
        until(lambda: registry.tag(bad).startswith("refused: ") and status(settings, registry)["refused"]["tagged"])
        found = status(settings, registry)
        assert (found["live"]["version"], found["wanted"], found["refused"]["version"]) == (good, bad, bad)
        assert answering(follower) == good
        time.sleep(1)
        assert status(settings, registry)["refused"] == found["refused"]
        assert len(units.processes) == 1


def test_a_refused_version_is_tried_again_when_the_alias_comes_back(
    settings: Settings, registry: Registry, units: Units
) -> None:
    good, bad = registry.add(), registry.add(pip_requirements=["scikit-learn==0.1"])
    registry.point(bad)
    with following(settings) as follower:
        until(lambda: registry.tag(bad).startswith("refused: ") and status(settings, registry)["refused"]["tagged"])
        first = status(settings, registry)["refused"]["time"]
        registry.point(good)
        until(lambda: answering(follower) == good)
        time.sleep(1)
        registry.point(bad)
        until(lambda: status(settings, registry)["refused"]["time"] != first)


def test_a_version_that_answers_no_finite_number_is_refused(
    settings: Settings, registry: Registry, units: Units
) -> None:
    bad = registry.add(weight=float("nan"))
    registry.point(bad)
    with following(settings):
        until(lambda: registry.tag(bad).startswith("refused: ") and status(settings, registry)["refused"]["tagged"])
        assert "no finite number" in registry.tag(bad)


def test_a_process_that_ends_while_it_loads_is_refused(settings: Settings, registry: Registry) -> None:
    version = registry.add()
    registry.point(version)
    with watching(settings.shared, ["false"]) as units, following(settings) as follower:
        until(lambda: registry.tag(version))
        assert "does not load: its process ended: exit-code, exited 1" in registry.tag(version)
        until(lambda: not units.processes)
        assert answering(follower) == ""


def test_a_process_that_never_answers_is_refused(settings: Settings, registry: Registry) -> None:
    version = registry.add()
    registry.point(version)
    patient = replace(settings, load_seconds=1)
    with watching(settings.shared, ["sh", "-c", "exec sleep 60"]), following(patient):
        until(lambda: registry.tag(version))
        assert "did not answer within 1 s" in registry.tag(version)


def test_a_model_with_code_is_served_only_where_the_settings_allow_it(
    settings: Settings, registry: Registry, units: Units, tmp_path: Path
) -> None:
    import mlflow
    from registered import ROWS

    (tmp_path / "code.py").write_text(
        "import mlflow\n\n\nclass Model(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n        return [0.5] * len(model_input)\n\n\n"
        "mlflow.models.set_model(Model())\n"
    )
    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=str(tmp_path / "code.py"), input_example=ROWS, pip_requirements=["pandas"]
    )
    version = registry.add_folder(tmp_path / "model")
    registry.point(version)
    with following(settings):
        until(lambda: registry.tag(version))
        assert "allow_code" in registry.tag(version)
    # After a change of the settings, the follower must try the refused version again.
    model = ModelSetting(registry.name, allow_code=True)
    with following(replace(settings, shared=replace(settings.shared, models=(model,)))) as follower:
        until(lambda: answering(follower) == version)


def test_what_was_served_is_served_again_without_mlflow(settings: Settings, registry: Registry) -> None:
    with served_twice(settings, registry) as (first, second, _):
        pass
    # Simulate a reboot, which empties /run, while MLflow is down.
    shutil.rmtree(settings.shared.run)
    settings.shared.run.mkdir()
    nowhere = replace(settings.shared, tracking_uri=f"http://127.0.0.1:{free_port()}")
    with watching(settings.shared), following(replace(settings, shared=nowhere)) as follower:
        until(lambda: answering(follower) == second)
        assert answering(follower, "previous.sock") == first
        until(lambda: "does not answer" in follower.mine.problem)
        assert follower.mine.live
        assert follower.mine.live.version == second
    shutil.rmtree(settings.shared.run)


def test_a_version_that_is_damaged_on_the_disk_is_not_served(settings: Settings, registry: Registry) -> None:
    with served_twice(settings, registry) as (first, second, follower):
        path = follower.version(second).model / "model.skops"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    nowhere = replace(settings.shared, tracking_uri=f"http://127.0.0.1:{free_port()}")
    with watching(settings.shared), following(replace(settings, shared=nowhere)) as follower:
        until(lambda: answering(follower) == first)
    # If MLflow is available, the follower downloads the damaged version again.
    with watching(settings.shared), following(settings) as follower:
        until(lambda: answering(follower) == second)
    shutil.rmtree(settings.shared.run)


def test_decisions_that_change_on_logged_rows_are_counted(settings: Settings, registry: Registry, units: Units) -> None:
    first, second = registry.add(), registry.add(threshold=0.8)
    registry.point(first)
    with following(settings) as follower:
        until(lambda: answering(follower) == first)
        values = [number / 333 for number in range(1000)]
        data = [[value, 0.0] for value in values]
        replay.remember(settings.shared, replay.Sample(follower.links.folder.name, first, ["a", "b"], data, {}))
        registry.point(second)
        until(lambda: answering(follower) == second)
        # The score is 0.5 at a = 1.5, and 0.8 at a = 1.5 + ln 4. Between these values the decision changes.
        wanted = sum(1.5 <= value < 1.5 + 1.3862943611 for value in values)
        text = f"Of 1,000 real rows {wanted} decisions change from version {first} to version {second}."
        assert status(settings, registry)["comparison"] == text


@pytest.mark.parametrize("what", ["MB where its log is", "a folder"])
def test_a_version_that_writes_more_than_a_log_stops_and_the_one_before_serves(
    settings: Settings, registry: Registry, what: str
) -> None:
    settings = replace(settings, log_disk_mb=1)
    with served_twice(settings, registry) as (first, second, follower):
        folder = follower.version(second).log
        if what == "a folder":
            (folder / "x").mkdir()
        else:
            (folder / "x").write_bytes(bytes(80 << 20))
        until(lambda: answering(follower) == first)
        until(lambda: registry.tag(second).startswith("refused: It "))
        assert what in registry.tag(second)
        until(lambda: not folder.exists())
        assert status(settings, registry)["live"]["version"] == first


def test_a_model_that_is_deleted_and_registered_anew_is_served_anew(
    settings: Settings, registry: Registry, units: Units
) -> None:
    registry.point(registry.add(weight=1))
    with following(settings) as follower:
        until(lambda: answering(follower) == "1")
        before = ask(follower.links.folder / "champion.sock", "/invocations", EXAMPLE, 5).body
        registry.client.delete_registered_model(registry.name)
        registry.client.create_registered_model(registry.name)
        assert registry.add(weight=2) == "1"
        registry.point("1")

        def other() -> bool:
            try:
                return ask(follower.links.folder / "champion.sock", "/invocations", EXAMPLE, 5).body != before
            except OSError:
                return False

        until(other)
        until(lambda: not follower.mine.candidate)
        assert follower.mine.live


def test_files_that_leave_their_folder_are_not_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    os.link(tmp_path / "secret", tmp_path / "second name")
    for name in ("link", "pipe", "second name"):
        with pytest.raises(NotRegularError):
            read_regular(tmp_path / name, 100)


def test_an_alias_that_is_removed_leaves_the_version_served(
    settings: Settings, registry: Registry, units: Units
) -> None:
    version = registry.add()
    registry.point(version)
    with following(settings) as follower:
        until(lambda: answering(follower) == version)
        registry.client.delete_registered_model_alias(registry.name, "champion")
        until(lambda: f"Version {version} is served on" in follower.mine.problem)
        assert answering(follower) == version


def test_a_folder_of_a_model_that_is_not_served_any_more_goes(
    settings: Settings, registry: Registry, units: Units
) -> None:
    version = registry.add()
    registry.point(version)
    with following(settings) as follower:
        until(lambda: answering(follower) == version)
        folder = follower.version(version).folder
    assert folder.exists()
    none = replace(settings, shared=replace(settings.shared, models=()))
    stopped = Follower(none)
    thread = threading.Thread(target=stopped.run)
    thread.start()
    until(lambda: not units.processes)
    stopped.stop.set()
    thread.join(20)
    assert not folder.exists()
    assert not (follower.links.folder / "champion.sock").is_symlink()


def test_save_makes_a_model_that_only_data_describes(tmp_path: Path) -> None:
    save(tmp_path / "model")
    assert (tmp_path / "model/serving_input_example.json").exists()
