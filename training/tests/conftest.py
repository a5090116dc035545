"""Real servers for the tests: MLflow on SQLite and MinIO, both on the loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pandas as pd
import pytest
import requests
from mlflow import MlflowClient

from fraud import synthetic
from fraud.main import DEFAULTS
from fraud.schema import clean
from fraud.settings import Settings
from fraud.store import Store

ROOT = Path(__file__).parents[2]
KEYS = {"MINIO_ROOT_USER": "tester", "MINIO_ROOT_PASSWORD": "tester-of-fraud"}

# Before any client of MLflow is made: it reads them when it is imported.
os.environ.update(DEFAULTS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server of {url} ended with {process.returncode}"
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise TimeoutError(url)


@contextmanager
def running(command: list[str], env: dict[str, str], url: str, log: Path) -> Iterator[None]:
    with (
        log.open("wb") as out,
        subprocess.Popen(command, env=os.environ | env, stdout=out, stderr=out) as process,
    ):
        try:
            wait_for(url, process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def minio_binary() -> Path | None:
    named = os.environ.get("TRACKBOX_MINIO")
    if named:
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "trackbox")
    found = [path for path in cache.rglob("minio") if path.is_file() and os.access(path, os.X_OK)]
    on_path = shutil.which("minio")
    return found[0] if found else Path(on_path) if on_path else None


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ENABLE_AI_GATEWAY": "false"}
    with running(command, env, f"{uri}/health", folder / "log"):
        yield uri


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = minio_binary()
    if binary is None:
        pytest.skip("no MinIO binary: `make up` builds one, or let TRACKBOX_MINIO name it")
    folder, port = tmp_path_factory.mktemp("minio"), free_port()
    command = [str(binary), "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    command += [str(folder / "data")]
    env = KEYS | {"MINIO_BROWSER": "off"}
    endpoint = f"http://127.0.0.1:{port}"
    with running(command, env, f"{endpoint}/minio/health/ready", folder / "log"):
        yield endpoint


def s3_environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": KEYS["MINIO_ROOT_USER"],
        "AWS_SECRET_ACCESS_KEY": KEYS["MINIO_ROOT_PASSWORD"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nothing says where servers are."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "FRAUD_", "MLFLOW_TRACKING_")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def settings(
    tracking_uri: str, s3_endpoint: str, bare: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Settings:
    """Both servers, with a bucket and an experiment of the test's own."""
    name = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")
    name = name[:40].strip("-") + f"-{time.time_ns() % 10**9}"
    variables = s3_environment(s3_endpoint) | {
        "MLFLOW_TRACKING_URI": tracking_uri,
        "FRAUD_BUCKET": name,
        "FRAUD_EXPERIMENT": name,
    }
    for key, value in variables.items():
        bare.setenv(key, value)
    boto3.session.Session().client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=name)
    return Settings.from_env(os.environ)


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings)


@pytest.fixture
def client(settings: Settings) -> MlflowClient:
    return MlflowClient(settings.tracking_uri)


@pytest.fixture(scope="session")
def small() -> pd.DataFrame:
    """5,000 rows, 300 of them frauds, clean."""
    return clean(synthetic.generate(5000, 300, seed=1), "small").frame


@pytest.fixture
def small_csv(small: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    small.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def real_sample() -> Path:
    named = os.environ.get("FRAUD_DATA")
    path = Path(named) if named else ROOT.parent / "shared/data/creditcard-real-12k.csv.gz"
    if not path.is_file():
        pytest.skip("no real sample: let FRAUD_DATA name creditcard.csv or a part of it")
    return path
