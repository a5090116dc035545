"""Settings from the environment: servers, bucket, experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fraud.errors import ServiceError

HINT = 'On the VM `fraud` has it set; elsewhere run `eval "$(make -s env)"` first.'

#: Variables with the paths of CA files, for the clients of MLflow and S3.
CA_VARIABLES = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "AWS_CA_BUNDLE")


@dataclass(frozen=True)
class Settings:
    """Addresses and names. Passwords are not here: the clients read them from the environment.

    Attributes:
        tracking_uri: address of the tracking server, without a slash at the end.
        s3_endpoint: address of the object store; None means AWS.
        bucket: name of the bucket of data sets.
        log_bucket: name of the bucket with the logs and the labels of served models.
        experiment: name of the experiment in MLflow, unless `--experiment` is given.
        ui_url: address of MLflow's user interface, for links.
        serving_url: base address of the scoring endpoints; `NAME/ping` is one path below it.

    """

    tracking_uri: str
    s3_endpoint: str | None
    bucket: str
    log_bucket: str
    experiment: str
    ui_url: str
    serving_url: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables.

        Raises:
            ServiceError: `MLFLOW_TRACKING_URI` is not set, or a CA file does not exist.

        """
        uri = env.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        if not uri:
            raise ServiceError("MLFLOW_TRACKING_URI is not set", HINT)
        for variable in CA_VARIABLES:
            path = env.get(variable)
            if path and not Path(path).exists():
                raise ServiceError(
                    f"{variable} names {path}, which does not exist",
                    "Copy the installation's CA there, or correct the variable.",
                )
        return cls(
            tracking_uri=uri,
            s3_endpoint=env.get("AWS_ENDPOINT_URL_S3") or None,
            bucket=env.get("FRAUD_BUCKET") or "datasets",
            log_bucket=env.get("FRAUD_LOG_BUCKET") or "inference",
            experiment=env.get("FRAUD_EXPERIMENT") or "fraud",
            ui_url=(env.get("FRAUD_UI_URL") or uri).rstrip("/"),
            serving_url=(env.get("FRAUD_SERVING_URL") or f"{uri}/serving").rstrip("/"),
        )
