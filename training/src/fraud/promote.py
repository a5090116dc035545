"""`fraud promote`: compare the best model of a comparison with the champion."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime, timezone
from getpass import getuser
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fraud.data.schema import LABEL
from fraud.data.split import split
from fraud.data.store import Store
from fraud.errors import NotBetterError, RegistryError
from fraud.evaluation.bootstrap import paired
from fraud.models.loading import load_model
from fraud.settings import Settings
from fraud.tracking.registry import CHAMPION, NAME, move_aliases, register, version_by_alias
from fraud.types import Decision, Interval


def find_comparison(client: MlflowClient, experiment_name: str, run_id: str | None) -> Run:
    """The run of a finished comparison.

    Args:
        client: client of the tracking server.
        experiment_name: the experiment that is searched for the newest comparison.
        run_id: identifier of the comparison's run; None means the newest comparison.

    Raises:
        RegistryError: there is no such comparison.

    """
    if run_id:
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            raise RegistryError(f"There is no run {run_id}", "Copy it from MLflow.") from error
        if "best.model" not in run.data.tags:
            raise RegistryError(f"Run {run_id} is no finished comparison", "Use its parent.")
        return run
    experiment = client.get_experiment_by_name(experiment_name)
    found = experiment and client.search_runs(
        [experiment.experiment_id],
        "tags.role = 'comparison' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    if not found:
        raise RegistryError(
            f"The experiment {experiment_name} has no finished comparison",
            "Run `fraud train` first.",
        )
    return found[0]


def measure_gain(
    settings: Settings, run: Run, champion: ModelVersion
) -> tuple[Interval, tuple[str, ...]]:
    """Compare the challenger and the champion on the test rows of the challenger's comparison.

    Returns:
        The average precision of the challenger minus that of the champion, and notes for the user
        on limits of the comparison.

    """
    tags = run.data.tags
    store = Store(settings)
    frame = store.load(store.find(tags["data.hash"]))
    rows = split(frame, tags["split"], int(tags["split.seed"])).test
    ours = load_model(f"models:/{tags['best.model']}", settings.tracking_uri)
    theirs = load_model(f"models:/{NAME}/{champion.version}", settings.tracking_uri)
    same = all(ours.metadata[key] == theirs.metadata.get(key) for key in ("data_hash", "split"))
    same = same and (
        tags["split"] == "time" or ours.metadata["seed"] == theirs.metadata.get("seed")
    )
    note = "The champion was trained on other rows and may know some of these test rows."
    gain = paired(rows[LABEL].to_numpy(), ours.predict(rows), theirs.predict(rows), seed=0)
    return gain, () if same else (note,)


def promote(
    settings: Settings, comparison: str | None = None, dry_run: bool = False, force: bool = False
) -> Decision:
    """Register the best model of a comparison and make it the champion if it is better.

    The model is better if its average precision on the same test rows exceeds the champion's: the
    95 % interval of the difference, from a paired bootstrap, must lie above zero.

    Args:
        settings: settings with the addresses of the servers and the experiment.
        comparison: identifier of the comparison's run; None means the newest.
        dry_run: only compare; do not change the registry.
        force: make the model the champion even if it is not better.

    Raises:
        RegistryError: there is no such comparison.
        NotBetterError: the model is not better, and `force` is false.

    """
    client = MlflowClient(settings.tracking_uri)
    run = find_comparison(client, settings.experiment, comparison)
    name, model = run.data.tags["best"], run.data.tags["best.model"]
    champion = version_by_alias(client, CHAMPION)
    if champion and champion.tags.get("model") == model:
        reason = "it is the champion already"
        return Decision(name, champion.version, False, reason, champion.version)
    gain: Interval | None = None
    notes: tuple[str, ...] = ()
    reason, against = "there was no champion", None
    if champion:
        against = champion.version
        gain, notes = measure_gain(settings, run, champion)
        reason = f"its average precision differs by {gain.value:+.3f} "
        reason += f"[{gain.low:+.3f}, {gain.high:+.3f}] from version {against}'s"
    better = gain is None or gain.low > 0
    moved = better or force
    if force and not better:
        reason += ", and --force was given"
    version = None if dry_run else register(client, run)
    decision = Decision(name, version, moved and not dry_run, reason, against, gain, notes)
    if version:
        tag_version(client, decision)
        if moved:
            move_aliases(client, version, against)
    if not moved:
        raise NotBetterError(
            f"{name} stays a challenger: {reason}", "`fraud promote --force` moves it anyway."
        )
    return decision


def tag_version(client: MlflowClient, decision: Decision) -> None:
    """Store a decision as tags of the challenger's version."""
    tags: dict[str, Any] = {
        "decision": "promoted" if decision.promoted else "not promoted",
        "decision.reason": decision.reason,
        "decision.against": decision.against or "nothing",
        "decision.time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "decision.by": os.environ.get("MLFLOW_TRACKING_USERNAME") or getuser(),
    }
    if decision.gain:
        tags |= {f"decision.gain.{key}": f"{v:.6f}" for key, v in asdict(decision.gain).items()}
    for key, value in tags.items():
        client.set_model_version_tag(NAME, decision.version, key, value)
