"""The registered model `fraud`: its versions and the aliases `champion` and `previous`."""

from __future__ import annotations

from collections.abc import Callable

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fraud.errors import RegistryError
from fraud.settings import Settings

NAME, CHAMPION, PREVIOUS = "fraud", "champion", "previous"
#: The version tag that the scoring server sets, and the beginning of the tag's value if the version
#: was refused.
SERVING, REFUSED = "serving", "refused: "
#: The beginning of the value of the tag `serving` while the version's packages are installed.
PREPARES = "prepares its packages"
#: MLflow's error codes for a model or an alias that does not exist.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def existing(request: Callable[[str, str], ModelVersion], *names: str) -> ModelVersion | None:
    """The version that a request to the registry returns, None if there is no such version."""
    try:
        return request(*names)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise


def version_by_alias(client: MlflowClient, alias: str) -> ModelVersion | None:
    """The version with an alias, None if there is none."""
    return existing(client.get_model_version_by_alias, NAME, alias)


def find_version(client: MlflowClient, model: str, version: str) -> ModelVersion | None:
    """A version of a model, None if the registry does not have it."""
    return existing(client.get_model_version, model, version)


def version_exists(client: MlflowClient, model: str, version: str) -> bool:
    """Whether the registry has a version of a model."""
    return find_version(client, model, version) is not None


def register(client: MlflowClient, run: Run) -> str:
    """Register a comparison's best model, unless it is already registered; return the version."""
    tags = run.data.tags
    try:
        client.create_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = client.search_model_versions(f"name='{NAME}' and run_id='{tags['best.run']}'")
    if found:
        return str(found[0].version)
    wanted = ("data", "data.hash", "split", "split.seed", "profile", "fraud.version")
    version = client.create_model_version(
        NAME, f"models:/{tags['best.model']}", tags["best.run"], model_id=tags["best.model"],
        tags={"model": tags["best.model"], "recipe": tags["best"], "comparison": run.info.run_id}
        | {key: tags[key] for key in wanted if key in tags},
    )  # fmt: skip
    return str(version.version)


def move_aliases(client: MlflowClient, champion: str, previous: str | None) -> None:
    """Move the alias `champion`, and `previous` unless it is None, to these versions.

    If the new champion was refused before, delete its tag `serving`, because the scoring server
    checks the version again.
    """
    if client.get_model_version(NAME, champion).tags.get(SERVING, "").startswith(REFUSED):
        client.delete_model_version_tag(NAME, champion, SERVING)
    if previous:
        client.set_registered_model_alias(NAME, PREVIOUS, previous)
    client.set_registered_model_alias(NAME, CHAMPION, champion)


def rollback(settings: Settings) -> tuple[str, str]:
    """Swap the aliases `champion` and `previous`.

    Returns:
        The versions that are now `champion` and `previous`.

    Raises:
        RegistryError: one of the aliases does not exist.

    """
    client = MlflowClient(settings.tracking_uri)
    champion, previous = version_by_alias(client, CHAMPION), version_by_alias(client, PREVIOUS)
    if champion is None or previous is None:
        missing = "champion" if champion is None else "version before the champion"
        raise RegistryError(f"There is no {missing} to go back to", "`fraud promote` makes one.")
    move_aliases(client, previous.version, champion.version)
    client.set_model_version_tag(
        NAME, champion.version, "decision", f"rolled back to version {previous.version}"
    )
    return str(previous.version), str(champion.version)
