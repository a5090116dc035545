"""The command `fraud`: exit codes, error messages, signals."""

import base64
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from fraud.cli import main
from fraud.errors import Terminated
from fraud.settings import Settings

LOGIN = "Basic " + base64.b64encode(b"alice:right").decode()


class FrontDoor(BaseHTTPRequestHandler):
    """Responds with 401 to requests without the password, and with `status` to all others."""

    status = 200

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == LOGIN
        self.send_response(self.status if allowed else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def front_door(bare: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FrontDoor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_address[1]}"
    bare.setenv("MLFLOW_TRACKING_URI", uri)
    yield uri
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("command", [["train"], ["promote"], ["rollback"], ["predict", __file__]])
def test_a_wrong_password_is_one_sentence(
    front_door: str,
    bare: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    bare.setenv("MLFLOW_TRACKING_USERNAME", "alice")
    bare.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    assert main.run(command) == 4
    said = capsys.readouterr().err
    assert f"{front_door} answered 401. Check MLFLOW_TRACKING_USERNAME" in said
    assert said.count("\n") == 1


def test_a_failing_server_is_one_sentence(
    front_door: str,
    bare: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare.setenv("MLFLOW_TRACKING_USERNAME", "alice")
    bare.setenv("MLFLOW_TRACKING_PASSWORD", "right")
    monkeypatch.setattr(FrontDoor, "status", 503)
    assert main.run(["train"]) == 4
    assert "answered 503. Look at https://HOST/healthz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "MLFLOW_TRACKING_URI is not set"),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "was not reached"),
        (
            {"MLFLOW_TRACKING_URI": "https://x", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/no/ca"},
            "MLFLOW_TRACKING_SERVER_CERT_PATH names /no/ca, which does not exist",
        ),
        (
            {"MLFLOW_TRACKING_URI": "https://x", "AWS_CA_BUNDLE": "/no/ca"},
            "AWS_CA_BUNDLE names /no/ca, which does not exist",
        ),
    ],
)
def test_a_missing_variable_is_one_sentence(
    bare: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    said: str,
) -> None:
    for key, value in variables.items():
        bare.setenv(key, value)
    assert main.run(["train", "--data", "synthetic"]) == 4
    assert said in capsys.readouterr().err


def test_a_server_that_stops_during_the_run_is_one_sentence(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fraud import train

    monkeypatch.setattr(train, "probe", lambda _: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main.run(["train", "--data", "synthetic"]) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("Error: The tracking server at http://127.0.0.1:9 failed: ")


def test_an_unknown_error_is_one_line_and_debug_shows_where(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Settings:
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr(Settings, "from_env", broken)
    assert main.run(["data", "list"]) == 1
    said = capsys.readouterr().err
    assert said == "Error: nothing to divide by (`fraud --debug …` shows where).\n"
    assert main.run(["--debug", "data", "list"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_push_list_and_push_again(
    settings: Settings, small_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["data", "list"]) == 0
    assert "No data set yet" in capsys.readouterr().out
    assert main.run(["data", "push", str(small_csv)]) == 0
    assert "Stored." in capsys.readouterr().err
    assert main.run(["data", "push", str(small_csv), "--json"]) == 0
    shown = capsys.readouterr()
    assert "there already" in shown.err
    assert '"new": false' in shown.out
    assert main.run(["data", "list"]) == 0
    assert "small.csv" in capsys.readouterr().out
    assert main.run(["data", "list", "--json"]) == 0
    assert '"kind": "real"' in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["data"], ["data", "push"], ["train"], ["predict"]])
def test_help_reads_well(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: ")
    assert max(len(line) for line in shown.splitlines()) <= 100


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_interruption_has_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], code: int
) -> None:
    def interrupted(_: object) -> Settings:
        raise error

    monkeypatch.setattr(Settings, "from_env", interrupted)
    assert main.run(["data", "list"]) == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_marks_the_open_runs_killed(
    settings: Settings, client: MlflowClient, number: signal.Signals, code: int
) -> None:
    # Set SIGINT's handler. If the tests run as a background job, SIGINT is ignored, and the child
    # process would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "fraud", "train", "--data", "synthetic", "--profile", "seed"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: len(open_runs(client, settings)) >= 3)
        process.send_signal(number)
        _, said = process.communicate(timeout=90)
    assert process.returncode == code
    assert said.endswith("Interrupted: the open runs are marked KILLED.\n")
    assert open_runs(client, settings) == []
    experiment = client.get_experiment_by_name(settings.experiment)
    statuses = [run.info.status for run in client.search_runs([experiment.experiment_id])]
    assert statuses.count("KILLED") >= 3
    assert set(statuses) <= {"KILLED", "FINISHED"}


def open_runs(client: MlflowClient, settings: Settings) -> list[str]:
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        return []
    query = "attributes.status = 'RUNNING'"
    return [run.info.run_id for run in client.search_runs([experiment.experiment_id], query)]


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition stayed false"
        time.sleep(0.1)


def test_an_output_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel refuse writes beyond 4 kB, as on a full disk."""
    program = (
        "from pathlib import Path\n"
        "from fraud.cli.main import run\n"
        "import fraud.predict as p, pyarrow as pa\n"
        "import sys\n"
        "try:\n"
        f"    with p.atomic_write(Path({str(tmp_path / 'o.csv')!r})) as part:\n"
        "        with p.writer(part, False) as write:\n"
        "            rows = [[0.5] * 9999, [1] * 9999, [1] * 9999]\n"
        "            write(pa.table(rows, schema=p.OUTPUT))\n"
        "except p.OutputError as error:\n"
        "    print(error)\n"
        "    sys.exit(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert "cannot be written (File too large)" in done.stdout
    assert list(tmp_path.iterdir()) == []
