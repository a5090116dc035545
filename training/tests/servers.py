"""Real servers on loopback for tests: MLflow on SQLite, and MinIO."""

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

import pytest
import requests

KEYS = {"MINIO_ROOT_USER": "tester", "MINIO_ROOT_PASSWORD": "tester-of-fraud"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 240) -> None:
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


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run an MLflow server with its files in `folder`; yield its address."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ENABLE_AI_GATEWAY": "false"}
    with running(command, env, f"{uri}/health", folder / "log"):
        yield uri


@contextmanager
def minio_server(binary: Path, folder: Path) -> Iterator[str]:
    """Run a MinIO server with its files in `folder`; yield its address."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(binary), "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    command += [str(folder / "data")]
    env = KEYS | {"MINIO_BROWSER": "off"}
    with running(command, env, f"{endpoint}/minio/health/ready", folder / "log"):
        yield endpoint


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a MinIO server. Each module that imports this fixture gets its own server."""
    binary = minio_binary()
    if binary is None:
        pytest.skip("no MinIO binary: `make up` builds one, or let TRACKBOX_MINIO name it")
    with minio_server(binary, tmp_path_factory.mktemp("minio")) as endpoint:
        yield endpoint


def s3_environment(endpoint: str) -> dict[str, str]:
    """The environment variables of an S3 client for this server."""
    return {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": KEYS["MINIO_ROOT_USER"],
        "AWS_SECRET_ACCESS_KEY": KEYS["MINIO_ROOT_PASSWORD"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
