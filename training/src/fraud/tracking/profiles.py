"""Download the reference profile of a registered version."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient

from fraud.evaluation.reference_profile import Profile, read_profile
from fraud.models.flavours import REFERENCE_PROFILE
from fraud.tracking.registry import version_exists


def fetch_profile(client: MlflowClient, model: str, version: str) -> tuple[Profile | None, str]:
    """The reference profile of a version, or None and a sentence that says why there is none."""
    who = f"Version {version} of {model}"
    if not version_exists(client, model, version):
        return None, f"{who} was deleted from the registry, and its reference profile with it."
    where, uri = f"models:/{model}/{version}", client.tracking_uri
    files = mlflow.artifacts.list_artifacts(artifact_uri=where, tracking_uri=uri)
    if REFERENCE_PROFILE not in [item.path for item in files]:
        return None, f"{who} has no reference profile, so its rows were not compared."
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{where}/{REFERENCE_PROFILE}", dst_path=folder, tracking_uri=uri
        )
        try:
            profile = read_profile(Path(path).read_bytes())
        except ValueError as error:
            run = client.get_model_version(model, version).run_id or "unknown"
            return None, (
                f"The reference profile of version {version}, made by the run {run}, cannot be "
                f"used, because {error}: train and promote a model anew."
            )
    if profile.calibration is None:
        return profile, (
            f"The reference profile of version {version} has no calibration, so precision and "
            "recall were not estimated."
        )
    return profile, ""
