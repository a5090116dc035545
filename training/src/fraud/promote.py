"""`fraud promote`: the best model of a comparison against today's champion."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fraud.data.schema import LABEL
from fraud.data.split import split
from fraud.data.store import Store
from fraud.errors import NotBetterError, RegistryError
from fraud.evaluation.bootstrap import Interval, paired
from fraud.models.loading import fetch
from fraud.settings import Settings
from fraud.tracking.registry import CHAMPION, NAME, by_alias, move, register
from fraud.tracking.tracker import Tracker


@dataclass(frozen=True)
class Decision:
    """What became of a challenger; `gain` is the difference of average precision."""

    model: str
    version: str | None
    promoted: bool
    reason: str
    against: str | None = None
    gain: Interval | None = None
    notes: tuple[str, ...] = ()


def find_comparison(tracker: Tracker, settings: Settings, name: str | None) -> Run:
    """A finished comparison: by its run's identifier, or the newest of the experiment.

    Raises:
        RegistryError: there is none.
    """
    if name:
        try:
            run = tracker.client.get_run(name)
        except MlflowException as error:
            raise RegistryError(f"There is no run {name}", "Copy it from its page.") from error
        if "best.model" not in run.data.tags:
            raise RegistryError(f"Run {name} is no finished comparison", "Name its parent.")
        return run
    experiment = tracker.client.get_experiment_by_name(settings.experiment)
    found = experiment and tracker.client.search_runs(
        [experiment.experiment_id],
        "tags.role = 'comparison' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    if not found:
        raise RegistryError(
            f"The experiment {settings.experiment} has no finished comparison",
            "Run `fraud train` first.",
        )
    return found[0]


def measure_gain(
    settings: Settings, run: Run, champion: ModelVersion
) -> tuple[Interval, tuple[str, ...]]:
    """Both models on the test rows of the comparison: the difference and what limits it."""
    tags = run.data.tags
    store = Store(settings)
    frame = store.load(store.find(tags["data.hash"]))
    rows = split(frame, tags["split"], int(tags["split.seed"])).test
    ours = fetch(f"models:/{tags['best.model']}", settings.tracking_uri)
    theirs = fetch(f"models:/{NAME}/{champion.version}", settings.tracking_uri)
    same = all(ours.metadata[key] == theirs.metadata.get(key) for key in ("data_hash", "split"))
    same = same and (
        tags["split"] == "time" or ours.metadata["seed"] == theirs.metadata.get("seed")
    )
    note = "The champion was trained on other rows and may know some of these test rows."
    gain = paired(rows[LABEL].to_numpy(), ours.score(rows), theirs.score(rows), seed=0)
    return gain, () if same else (note,)


def promote(
    settings: Settings, comparison: str | None = None, dry_run: bool = False, force: bool = False
) -> Decision:
    """Register the best model of a comparison and make it the champion if it is better.

    Better means: the 95 % interval of the difference of average precision on the same
    test rows, from a paired bootstrap, lies above zero.

    Raises:
        RegistryError: there is no comparison.
        NotBetterError: it does not beat today's champion (and `force` is not set).
    """
    tracker = Tracker(settings)
    run = find_comparison(tracker, settings, comparison)
    name, model = run.data.tags["best"], run.data.tags["best.model"]
    champion = by_alias(tracker, CHAMPION)
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
    version = None if dry_run else register(tracker, run)
    decision = Decision(name, version, moved and not dry_run, reason, against, gain, notes)
    if version:
        tag(tracker, decision)
        if moved:
            move(tracker, version, against)
    if not moved:
        raise NotBetterError(
            f"{name} stays a challenger: {reason}", "`fraud promote --force` moves it anyway."
        )
    return decision


def tag(tracker: Tracker, decision: Decision) -> None:
    """Leave the numbers of a decision on the version that it was about."""
    tags: dict[str, Any] = {
        "decision": "promoted" if decision.promoted else "not promoted",
        "decision.reason": decision.reason,
        "decision.against": decision.against or "nothing",
        "decision.time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    if decision.gain:
        tags |= {f"decision.gain.{key}": f"{v:.6f}" for key, v in asdict(decision.gain).items()}
    for key, value in tags.items():
        tracker.client.set_model_version_tag(NAME, decision.version, key, value)
