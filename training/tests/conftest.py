"""Fixtures of the tests, with real servers on loopback: MLflow on SQLite, and MinIO."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pandas as pd
import pytest
from mlflow import MlflowClient

from fraud.cli.main import DEFAULTS
from fraud.data import synthetic
from fraud.data.schema import clean
from fraud.data.store import Store
from fraud.settings import Settings
from servers import mlflow_server, s3_endpoint, s3_environment

__all__ = ["s3_endpoint"]

ROOT = Path(__file__).parents[2]

# Set the variables here, before any test imports MLflow's client, which reads them on import.
os.environ.update(DEFAULTS)


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove the variables of servers and credentials from the environment."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "FRAUD_", "MLFLOW_TRACKING_")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def settings(
    tracking_uri: str, s3_endpoint: str, bare: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Settings:
    """Settings for both servers, with a bucket and an experiment of this test's own."""
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
    """A clean data set of 5,000 rows, 300 of them frauds."""
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
