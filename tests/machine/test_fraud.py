"""All steps of the command `fraud` from a data file to scores, on the machine by SSH and on the controller."""

import csv
import gzip
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from machine import ROOT, Machine
from testinfra.host import Host

Fraud = Callable[..., str]
FRAUD = ROOT / "training/.venv/bin/fraud"
GENERATE = "import sys, fraud.data.synthetic as s; s.generate(20_000, 200).to_csv(sys.argv[1], index=False)"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV file: a copy of the file FRAUD_DATA if it is set, else synthetic rows."""
    file = tmp_path_factory.mktemp("data") / "transactions.csv"
    if name := os.environ.get("FRAUD_DATA"):
        with gzip.open(name) if name.endswith(".gz") else Path(name).open("rb") as source, file.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    else:
        subprocess.run([FRAUD.with_name("python"), "-c", GENERATE, str(file)], check=True, timeout=120)
    return file


@pytest.fixture(params=["on the machine", "from the controller"])
def fraud(request: pytest.FixtureRequest, machine: Machine, host: Host, tmp_path: Path) -> Fraud:
    """Return a function that runs the command `fraud` with arguments and returns the output."""
    if request.param == "on the machine":
        return lambda *args: str(host.check_output("cd /var/tmp && fraud " + " ".join(args)))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **machine.settings}

    def run(*args: str) -> str:
        done = subprocess.run(
            [FRAUD, *args], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    return list(csv.DictReader(text.splitlines()))


def test_from_a_file_to_scores(fraud: Fraud, machine: Machine, host: Host, data: Path, tmp_path: Path) -> None:
    ssh = ["-q", "-F", str(ROOT / ".trackbox/ssh_config")]
    subprocess.run(["scp", *ssh, data, f"{machine.name}:/var/tmp/transactions.csv"], check=True, timeout=60)
    shutil.copy(data, tmp_path)
    size = len(rows(data.read_text()))

    fraud("data", "push", "transactions.csv")
    fraud("train", "--models", "logistic,xgboost")
    fraud("promote", "--force")
    fraud("predict", "transactions.csv", "-o", "scores.csv")

    local = tmp_path / "scores.csv"
    scores = rows(local.read_text() if local.exists() else host.check_output("cat /var/tmp/scores.csv"))
    host.check_output("rm -f /var/tmp/transactions.csv /var/tmp/scores.csv")
    assert len(scores) == size
    assert {row["decision"] for row in scores} == {"0", "1"}
    assert all(0 <= float(row["score"]) <= 1 for row in scores)
    assert len({row["model_version"] for row in scores}) == 1
