"""The registered model `fraud`: its versions and the aliases `champion` and `previous`."""

from __future__ import annotations

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fraud.errors import RegistryError
from fraud.settings import Settings
from fraud.tracking.tracker import Tracker

NAME, CHAMPION, PREVIOUS = "fraud", "champion", "previous"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def by_alias(tracker: Tracker, alias: str) -> ModelVersion | None:
    """The version with an alias, None where there is none."""
    try:
        return tracker.client.get_model_version_by_alias(NAME, alias)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise


def register(tracker: Tracker, run: Run) -> str:
    """Make the best model of a comparison a version of `fraud`; one that is there is reused."""
    tags = run.data.tags
    try:
        tracker.client.create_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = tracker.client.search_model_versions(f"name='{NAME}' and run_id='{tags['best.run']}'")
    if found:
        return str(found[0].version)
    wanted = ("data", "data.hash", "split", "split.seed", "profile", "fraud.version")
    version = tracker.client.create_model_version(
        NAME, f"models:/{tags['best.model']}", tags["best.run"], model_id=tags["best.model"],
        tags={"model": tags["best.model"], "recipe": tags["best"], "comparison": run.info.run_id}
        | {key: tags[key] for key in wanted if key in tags},
    )  # fmt: skip
    return str(version.version)


def move(tracker: Tracker, champion: str, previous: str | None) -> None:
    """Move the aliases."""
    if previous:
        tracker.client.set_registered_model_alias(NAME, PREVIOUS, previous)
    tracker.client.set_registered_model_alias(NAME, CHAMPION, champion)


def rollback(settings: Settings) -> tuple[str, str]:
    """Swap the champion and the previous one.

    Returns:
        The version that is the champion now, and the one that was.

    Raises:
        RegistryError: there is no champion or nothing before it.
    """
    tracker = Tracker(settings)
    champion, previous = by_alias(tracker, CHAMPION), by_alias(tracker, PREVIOUS)
    if champion is None or previous is None:
        missing = "champion" if champion is None else "version before the champion"
        raise RegistryError(f"There is no {missing} to go back to", "`fraud promote` makes one.")
    move(tracker, previous.version, champion.version)
    tracker.client.set_model_version_tag(
        NAME, champion.version, "decision", f"rolled back to version {previous.version}"
    )
    return str(previous.version), str(champion.version)
