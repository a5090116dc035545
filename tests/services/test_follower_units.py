"""start_units.py, which runs as root, starts only units that the follower may request. The page shows the models."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest
from trackbox_serving import start_units
from trackbox_serving.follower import page
from trackbox_serving.follower.metrics import Traffic, follower_metrics, read, version_metrics
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.status import LogStatus, ModelStatus, Refusal, Served, Status
from trackbox_serving.follower.unix import ask
from trackbox_serving.names import Unit
from trackbox_serving.settings import Settings as Shared

RECORD = """
import sys
if "list-units" in sys.argv:
    for kind in ("service", "socket"):
        print(f"trackbox-serving@fraud-1.{kind} loaded active running x")
else:
    open(sys.argv[1], "a").write(" ".join(sys.argv[2:]) + "\\n")
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder, with a fake systemctl that logs its arguments and reports that version 1 runs."""
    monkeypatch.setattr(start_units, "UNITS", tmp_path / "units")
    monkeypatch.setattr(start_units, "SYSTEMCTL", (sys.executable, "-c", RECORD, str(tmp_path / "told")))
    (tmp_path / "serving.json").write_text(json.dumps({"models": [{"name": "fraud"}, {"name": "a model"}]}))
    return tmp_path


def apply(state: Path, monkeypatch: pytest.MonkeyPatch, *units: str) -> int:
    """Request these units, and run the program; return its exit status."""
    for unit in units:
        (state / "log" / unit).mkdir(parents=True, exist_ok=True)
    (state / "wanted.json").write_text(json.dumps({"units": units}))
    monkeypatch.setattr(sys, "argv", ["start_units", str(state), str(state / "serving.json")])
    return start_units.main()


def test_the_units_that_are_named_start_and_the_others_stop(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apply(state, monkeypatch, "fraud/2", "a%20model/3") == 0
    told = (state / "told").read_text().splitlines()
    names = [r"trackbox-serving@a\x2520model-3", "trackbox-serving@fraud-2"]
    assert told[0] == "daemon-reload"
    assert told[1].split() == ["start", *(f"{name}.socket" for name in names)]
    assert told[2].split() == ["start", "--no-block", *(f"{name}.service" for name in names)]
    assert told[3] == "stop --no-block trackbox-serving@fraud-1.socket trackbox-serving@fraud-1.service"


def test_each_version_has_a_user_of_its_own_until_it_stops(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = state / "units/trackbox-serving@fraud-1.service.d"
    old.mkdir(parents=True)
    assert apply(state, monkeypatch, "fraud/2", "fraud/3") == 0
    users = [path.read_text() for path in (state / "units").glob("*/user.conf")]
    assert len(users) == len(set(users)) == 2
    assert all(len(user.partition("User=")[2].strip()) <= 31 for user in users)
    assert not old.exists()
    # The program must reload systemd only if it has written a new unit file.
    assert apply(state, monkeypatch, "fraud/2", "fraud/3") == 0
    assert (state / "told").read_text().splitlines().count("daemon-reload") == 1


def test_a_challenger_has_the_lowest_priority_until_it_is_one_no_more(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, about in (("2", {"challenger": True}), ("3", {"challenger": False}), ("4", ["challenger"])):
        (state / "models/fraud" / version).mkdir(parents=True)
        (state / "models/fraud" / version / "about.json").write_text(json.dumps(about))
    assert apply(state, monkeypatch, "fraud/2", "fraud/3", "fraud/4", "fraud/5") == 0
    users = {path.parent.name[-11]: path.read_text() for path in (state / "units").glob("*/user.conf")}
    assert [line in users["2"].splitlines() for line in ("Nice=19", "CPUWeight=1", "IOWeight=1")] == [True] * 3
    assert not any("Nice" in users[version] for version in "345")
    # To serve this version to clients, the follower first stops its unit, then starts it again.
    (state / "models/fraud/2/about.json").write_text("{}")
    assert apply(state, monkeypatch, "fraud/3") == 0
    assert apply(state, monkeypatch, "fraud/2", "fraud/3") == 0
    assert "Nice" not in (state / "units/trackbox-serving@fraud-2.service.d/user.conf").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "fraud",
        "fraud/0",
        "fraud/1/2",
        "fraud/-1",
        "other/1",
        "../fraud/1",
        "%2E%2E/1",
        "fraud/1 ssh.service",
        "-fraud/1",
        "fraud/1\n",
        "%66raud/1",
        "fraud%/1",
        "",
    ],
)
def test_a_name_that_is_none_starts_nothing(state: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (state / "wanted.json").write_text(json.dumps({"units": ["fraud/1", name]}))
    monkeypatch.setattr(sys, "argv", ["start_units", str(state), str(state / "serving.json")])
    assert start_units.main() == 1
    assert not (state / "told").exists()


@pytest.mark.parametrize("text", ["[]", '{"units": "fraud/1"}', '{"units": [1]}', "no JSON", "null"])
def test_a_file_that_is_none_starts_nothing(state: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (state / "wanted.json").write_text(text)
    monkeypatch.setattr(sys, "argv", ["start_units", str(state), str(state / "serving.json")])
    assert start_units.main() == 1
    assert not (state / "told").exists()


def test_a_link_is_not_read(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state / "elsewhere").write_text(json.dumps({"units": []}))
    (state / "wanted.json").symlink_to("elsewhere")
    monkeypatch.setattr(sys, "argv", ["start_units", str(state), str(state / "serving.json")])
    assert start_units.main() == 1


def test_too_many_versions_start_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apply(state, monkeypatch, *(f"fraud/{number}" for number in range(1, 10))) == 1


@pytest.mark.parametrize("name", ["fraud", "a model, № 2", "x.y-z_~1", "100%", "ü:é"])
def test_an_instance_is_what_systemd_escapes(name: str) -> None:
    unit = Unit(name, "17")
    assert Unit.parse(str(unit)) == unit
    command = ["systemd-escape", str(unit)]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except FileNotFoundError:
        pytest.skip("no systemd-escape")
    assert unit.instance == said


def shown(model: ModelStatus, traffic: Traffic | None = None, folder: Path | None = None) -> str:
    settings = Settings(Shared(), url="https://ml.example.org", ca_file="/etc/trackbox/ca.crt")
    return page.page(settings, [(model, traffic or Traffic(), folder)], LogStatus(), "2026-11-29T20:00:00+00:00")


def test_the_page_shows_version_traffic_and_refusal(tmp_path: Path) -> None:
    body = {"dataframe_split": {"columns": ["a"], "data": [[1.0], [2.0]]}}
    (tmp_path / "serving_input_example.json").write_text(json.dumps(body))
    live = Served("7", since="2026-11-29T19:00:00+00:00", promoted_by="vera", differs="numpy==1.0 (installed: 2.0)")
    refused = Refusal("8", "The types are <b>wrong</b>", "2026-11-29T19:30:00+00:00")
    html = shown(ModelStatus("fraud", "champion", "8", live, refused=refused), Traffic(1234, 0.0012, 0.02), tmp_path)
    for text in (
        "Version 7 is served",
        "2026-11-29 19:00:00 UTC",
        "vera",
        "1,234",
        "1.2 ms / 20 ms",
        "Version 8 was refused",
        "other versions of packages: numpy==1.0 (installed: 2.0).",
    ):
        assert text in html
    assert "&lt;b&gt;wrong" in html
    assert "<b>" not in html
    assert "<script" not in html
    assert "style=" not in html
    assert "/serving/fraud/invocations" in html
    assert "[[1.0]]" in html


def test_a_model_without_a_version_says_why() -> None:
    html = shown(ModelStatus("fraud", "champion", problem="The registry has no version of fraud."))
    assert "No version is served." in html
    assert "The registry has no version of fraud." in html


def test_the_metrics_of_a_worker_give_requests_and_quantiles() -> None:
    name = "trackbox_serving_request_seconds"
    lines = [f"# TYPE {name} histogram"]
    for path, factor in (("invocations", 1), ("ping", 100)):
        for bound, count in (("0.001", 50), ("0.01", 99), ("0.1", 100), ("+Inf", 100)):
            lines.append(f'{name}_bucket{{path="{path}",le="{bound}"}} {count * factor}')
        lines += [f'{name}_count{{path="{path}"}} {100 * factor}', f'{name}_sum{{path="{path}"}} 1']
    pytest.importorskip("prometheus_client")
    found = read("\n".join(lines) + "\n")
    assert found.requests == 100
    assert found.p50 == pytest.approx(0.001)
    assert found.p99 == pytest.approx(0.01)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"])
def test_a_worker_that_sends_a_byte_at_a_time_does_not_hold_the_follower(tmp_path: Path, head: bytes) -> None:
    path, over = tmp_path / "worker.sock", threading.Event()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def drip() -> None:
            line, _ = listening.accept()
            with line:
                line.sendall(head)
                while not over.wait(0.1):
                    try:
                        line.sendall(b"x")
                    except OSError:
                        return

        worker = threading.Thread(target=drip)
        worker.start()
        start = time.monotonic()
        with pytest.raises((OSError, HTTPException)):
            ask(path, "/metrics", timeout=0.5)
        took = time.monotonic() - start
        over.set()
        worker.join()
    assert took < 2


def test_the_metrics_of_several_models_are_one_text_with_the_models_names() -> None:
    pytest.importorskip("prometheus_client")
    worker = """\
# HELP trackbox_serving_requests_total Requests that were answered
# TYPE trackbox_serving_requests_total counter
trackbox_serving_requests_total{path="infer",status="200"} 7.0
# HELP trackbox_serving_request_seconds From the headers to the answer
# TYPE trackbox_serving_request_seconds histogram
trackbox_serving_request_seconds_bucket{le="0.1",path="infer"} 6.0
trackbox_serving_request_seconds_bucket{le="+Inf",path="infer"} 7.0
trackbox_serving_request_seconds_count{path="infer"} 7.0
trackbox_serving_request_seconds_sum{path="infer"} 0.5
"""
    text = version_metrics([("fraud", worker), ('a "b"', worker), ("away", "")])
    lines = text.splitlines()
    assert lines.count("# TYPE trackbox_serving_requests_total counter") == 1
    assert 'trackbox_serving_requests_total{model="fraud",path="infer",status="200"} 7.0' in lines
    assert 'trackbox_serving_request_seconds_bucket{le="+Inf",model="a \\"b\\"",path="infer"} 7.0' in lines
    # The follower reads the same traffic from these metrics as from the worker's own metrics.
    assert read(version_metrics([("fraud", worker)])) == read(worker)
    assert version_metrics([]) == ""


def test_the_follower_says_which_version_was_refused_and_what_is_behind() -> None:
    pytest.importorskip("prometheus_client")
    models = {
        "refused": ModelStatus("refused", "champion", "3", Served("2"), refused=Refusal("3", "too slow", "t")),
        "behind": ModelStatus("behind", "champion", "3", Served("2"), refused=Refusal("1", "long ago", "t")),
        "live": ModelStatus("live", "champion", "3", Served("3")),
        "none": ModelStatus("none", "champion"),
    }
    text = follower_metrics(Status(Path("status.json"), models, LogStatus(waiting_files=4, dropped=2)))
    refused, behind = (
        {
            line.split('model="')[1].split('"')[0]
            for line in text.splitlines()
            if line.startswith(name) and line[-3:] == "1.0"
        }
        for name in ("trackbox_serving_refused{", "trackbox_serving_behind{")
    )
    assert (refused, behind) == ({"refused"}, {"behind"})
    assert 'trackbox_serving_refused{alias="champion",model="refused",version="3"} 1.0' in text
    assert "trackbox_serving_log_dropped_files_total 2.0" in text
    assert "trackbox_serving_log_waiting_files 4.0" in text
