"""What goes into the runs of a comparison: tags, parameters, metrics, pictures, models."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag

from fraud import __version__
from fraud.data.dataset import Dataset
from fraud.data.schema import FEATURES, LABEL
from fraud.data.split import Split
from fraud.data.store import PREFIX
from fraud.evaluation import pictures
from fraud.evaluation.metrics import Cost
from fraud.models.fitting import Fitted
from fraud.tracking.tracker import Tracker


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
    """One model of a comparison, as it is tracked: names in MLflow, and its metrics."""

    name: str
    run: str
    model: str
    metrics: dict[str, float]


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
        "split.seed": str(options.seed),
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


def params_of(fitted: Fitted, options: Options) -> dict[str, Any]:
    """A run's parameters: the estimator's own and those of the procedure."""
    estimator = fitted.estimator
    last = estimator[-1] if hasattr(estimator, "named_steps") else estimator
    own = {key: value for key, value in last.get_params(deep=False).items() if value is not None}
    return {
        **own,
        "model": type(last).__name__,
        "features": len(FEATURES),
        "undersample": fitted.recipe.undersample or "no",
        "seed": options.seed,
        "cost_fn": options.cost.fn,
        "cost_fp": options.cost.fp,
    }


def pictures_of(fitted: Fitted, parts: Split) -> dict[str, bytes]:
    """A model's pictures by file name, as PNG."""
    name, threshold = fitted.recipe.name, fitted.threshold
    truth = parts.test[LABEL].to_numpy()
    flagged = (fitted.scores >= threshold).astype(int)
    figures = {
        "confusion_matrix.png": pictures.confusion(truth, flagged, name),
        "scores.png": pictures.distribution(truth, fitted.scores, threshold, name),
        "importance.png": pictures.matters(fitted.importance, name),
    }
    return {file: pictures.png(figure) for file, figure in figures.items()}


def track(
    tracker: Tracker, experiment: str, run: str, fitted: Fitted, pictures: dict[str, bytes],
    parts: Split, dataset: Dataset, options: Options,
) -> Outcome:  # fmt: skip
    """Fill one model's run: parameters, metrics, pictures, the model."""
    name = fitted.recipe.name
    metadata = {
        "threshold": fitted.threshold,
        "cost": asdict(options.cost),
        "data_hash": dataset.manifest.hash,
        "data_kind": dataset.manifest.kind,
        "split": options.split,
        "seed": options.seed,
    }
    example = parts.valid.head(5)
    model, size = tracker.model(run, experiment, name, fitted.estimator, metadata, example)
    metrics = {**fitted.metrics, "model_bytes": float(size)}
    tracker.log(run, params_of(fitted, options), metrics)
    for file, content in pictures.items():
        tracker.file(run, file, content)
    return Outcome(name, run, model, metrics)
