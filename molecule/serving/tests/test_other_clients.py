"""KServe's and Triton's clients of the Open Inference Protocol get the same scores as clients of MLflow's protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from endpoint import Endpoint
from machine import Machine

HERE = Path(__file__).parent


CLIENTS = [("client_triton.py", "tritonclient.txt"), ("client_kserve.py", "kserve.txt")]


@pytest.mark.parametrize(("client", "lock"), CLIENTS)
def test_a_client_of_the_open_inference_protocol_scores(
    machine: Machine, endpoint: Endpoint, tmp_path: Path, client: str, lock: str
) -> None:
    uv, folder = str(Path(sys.executable).with_name("uv")), str(tmp_path / "venv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True, timeout=60)
    install = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", folder, "-r", str(HERE / lock)]
    subprocess.run(install, check=True, timeout=600)
    python = Path(folder, "bin/python")
    said = json.loads(machine.run_python(python, str(HERE / client), json.dumps(endpoint.body)).splitlines()[-1])
    assert said["scores"] == pytest.approx(endpoint.score()[1])
