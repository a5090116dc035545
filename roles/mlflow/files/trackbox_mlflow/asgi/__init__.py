"""The ASGI middlewares around MLflow's application. server.py adds the outermost one, Limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trackbox_mlflow.asgi.artifacts import Artifacts
from trackbox_mlflow.asgi.disk_space import DiskSpace
from trackbox_mlflow.asgi.errors import ErrorAnswers
from trackbox_mlflow.asgi.readiness import Readiness
from trackbox_mlflow.asgi.types import Application
from trackbox_mlflow.disks import Disks


def wrap(application: Application, settings: Mapping[str, str]) -> Application:
    """Return MLflow's application with its middlewares. settings: the environment variables of MLflow's unit."""
    disks = Disks(settings)
    explained = ErrorAnswers(application, disks, settings["MLFLOW_S3_ENDPOINT_URL"])
    guarded = DiskSpace(explained, disks, settings["TRACKBOX_READING_POSTS"])
    artifacts = Artifacts(guarded, disks, settings)
    pool = int(settings.get("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", 20))
    return Readiness(artifacts, Path(settings["TRACKBOX_READY"]), pool)
