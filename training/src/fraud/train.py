"""`fraud train`: the models of a profile, in parallel, each a run below one comparison."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any

from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag

from fraud import __version__, pictures
from fraud.dataset import Dataset, resolve
from fraud.fitting import Fitted, fit
from fraud.models import Recipe, choose
from fraud.schema import FEATURES, LABEL
from fraud.scores import Cost
from fraud.screen import Screen
from fraud.settings import Settings
from fraud.split import Split, split
from fraud.store import PREFIX, Store
from fraud.tracking import Tracker, closing, probe

#: Matplotlib is not made for threads: one picture at a time.
DRAWING = Lock()


@dataclass(frozen=True)
class Options:
    """What the command line says; None means the default."""

    profile: str = "default"
    models: str | None = None
    data: str | None = None
    split: str = "time"
    jobs: int | None = None
    seed: int = 0
    experiment: str | None = None
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Outcome:
    """One model of a comparison, as it is tracked."""

    name: str
    run: str
    model: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """A finished comparison; `outcomes` has the best model first."""

    experiment: str
    run: str
    data: str
    kind: str
    link: str
    outcomes: tuple[Outcome, ...]


def git_commit() -> str | None:
    """The commit of the checkout that the package runs from, None where it is installed."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent,
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def tags_of(dataset: Dataset, options: Options) -> dict[str, str]:
    """The tags that a comparison and all its runs carry."""
    commit = git_commit()
    return {
        "data": dataset.manifest.kind,
        "data.hash": dataset.manifest.hash,
        "data.source": dataset.manifest.source,
        "split": options.split,
        "profile": options.profile,
        "fraud.version": __version__,
        **({"git.commit": commit} if commit else {}),
    }


def log_dataset(tracker: Tracker, run: str, dataset: Dataset) -> None:
    """The data set as MLflow's run input: where it lies, its hash, its size."""
    manifest = dataset.manifest
    uri = f"s3://{tracker.settings.bucket}/{PREFIX}{manifest.hash}/data.parquet"
    entity = DatasetEntity(
        name=f"creditcard-{manifest.kind}",
        digest=manifest.hash[:12],
        source_type="s3",
        source=json.dumps({"uri": uri}),
        profile=json.dumps({"num_rows": manifest.rows, "frauds": manifest.frauds}),
    )
    tags = [InputTag("mlflow.data.context", "training")]
    tracker.client.log_inputs(run, datasets=[DatasetInput(entity, tags)])


def params_of(recipe: Recipe, fitted: Fitted, options: Options) -> dict[str, Any]:
    """What a run's parameters say: the estimator's own and those of the procedure."""
    estimator = fitted.estimator
    last = estimator[-1] if hasattr(estimator, "named_steps") else estimator
    own = {key: value for key, value in last.get_params(deep=False).items() if value is not None}
    return {
        **own,
        "model": type(last).__name__,
        "undersample": recipe.undersample or "no",
        "seed": options.seed,
        "cost_fn": options.cost.fn,
        "cost_fp": options.cost.fp,
    }


def track(tracker: Tracker, place: Place, fitted: Fitted, parts: Split) -> Outcome:
    """Fill one model's run: parameters, metrics, pictures, the model."""
    name, run = fitted.recipe.name, place.run
    metadata = {
        "threshold": fitted.threshold,
        "data_hash": place.data,
        "cost": asdict(place.options.cost),
    }
    model, size = tracker.model(
        run, place.experiment, name, fitted.estimator, metadata, parts.valid.head(5)
    )
    metrics = {**fitted.metrics, "model_bytes": float(size)}
    tracker.log(run, params_of(fitted.recipe, fitted, place.options), metrics)
    flagged = (fitted.scores >= fitted.threshold).astype(int)
    with DRAWING:
        figure = pictures.confusion(parts.test[LABEL].to_numpy(), flagged, name)
        tracker.figure(run, figure, "confusion_matrix.png")
    return Outcome(name, run, model, metrics)


@dataclass(frozen=True)
class Place:
    """Where one model's results go."""

    experiment: str
    run: str
    data: str
    options: Options


def train(options: Options, settings: Settings, screen: Screen) -> Comparison:
    """Run a comparison from data to tracked models.

    Raises:
        FraudError: bad data or a server that does not answer; no run is left open.

    """
    recipes = choose(options.profile, options.models)
    probe(settings)
    dataset = resolve(options.data, Store(settings))
    screen.dataset(dataset)
    parts = split(dataset.frame, options.split, options.seed)
    tracker = Tracker(settings)
    experiment = tracker.experiment(options.experiment or settings.experiment)
    tags = tags_of(dataset, options)
    name = f"{options.profile} {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"
    parent = tracker.start(experiment, name, tags)
    with closing(tracker, parent):
        log_dataset(tracker, parent, dataset)

        def one(recipe: Recipe) -> Outcome:
            run = tracker.start(experiment, recipe.name, tags, parent)
            with closing(tracker, run):
                screen.doing(recipe.name, "fitting")
                fitted = fit(recipe, parts, options.seed, threads, options.cost)
                screen.doing(recipe.name, "storing")
                place = Place(experiment, run, dataset.manifest.hash, options)
                outcome = track(tracker, place, fitted, parts)
            screen.done(recipe.name, fitted)
            return outcome

        jobs = min(options.jobs or os.cpu_count() or 1, len(recipes))
        threads = max(1, (os.cpu_count() or 1) // jobs)
        with screen.models([recipe.name for recipe in recipes]):
            outcomes = in_parallel(one, recipes, jobs)
        outcomes.sort(key=lambda outcome: -outcome.metrics["average_precision"])
        best = outcomes[0]
        tracker.log(
            parent,
            {"models": ",".join(recipe.name for recipe in recipes), "features": len(FEATURES)},
            {"best_average_precision": best.metrics["average_precision"]},
        )
        tracker.tag(parent, {"best": best.name, "best.run": best.run})
    return Comparison(
        experiment, parent, dataset.manifest.hash, dataset.manifest.kind,
        tracker.link(experiment, parent), tuple(outcomes),
    )  # fmt: skip


def in_parallel(work: Any, recipes: list[Recipe], jobs: int) -> list[Outcome]:
    """Do `work` for every recipe, the longest first; the first error ends the rest."""
    pool = ThreadPoolExecutor(jobs)
    ordered = sorted(recipes, key=lambda recipe: -recipe.cost)
    futures: list[Future[Outcome]] = [pool.submit(work, recipe) for recipe in ordered]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [future.result() for future in futures]
