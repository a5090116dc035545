"""The content of a comparison's runs: tags, parameters, metrics, pictures, models, report."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag

from fraud import __version__
from fraud.data.schema import FEATURES, LABEL
from fraud.data.store import PREFIX
from fraud.evaluation import comparison_pictures, pictures
from fraud.evaluation.calibration import Calibration, calibrate
from fraud.evaluation.reference_profile import reference_profile
from fraud.evaluation.report import report
from fraud.tracking.tracker import Tracker
from fraud.types import Context, Dataset, Fitted, Options, Outcome, Split


class Result(NamedTuple):
    """A tracked model, its fitted estimator with evaluation, and its PNG pictures by file name."""

    outcome: Outcome
    fitted: Fitted
    pictures: dict[str, bytes]


def git_commit() -> str | None:
    """The commit of the checkout that contains this file, or None if there is no checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent,
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def run_tags(dataset: Dataset, options: Options) -> dict[str, str]:
    """The tags of a comparison and of all its runs."""
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
    """Log the location, hash and size of the data set as an input of the run."""
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


def run_params(fitted: Fitted, options: Options) -> dict[str, Any]:
    """The parameters of a model's run.

    They are those of the estimator, its class, the number of features, the undersampling, the seed
    and the costs.
    """
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


def draw_model(fitted: Fitted, parts: Split) -> dict[str, bytes]:
    """Draw a model's pictures; return the PNGs by file name."""
    name, threshold = fitted.recipe.name, fitted.threshold
    labels = parts.test[LABEL].to_numpy()
    flagged = (fitted.scores >= threshold).astype(int)
    figures = {
        "confusion_matrix.png": pictures.confusion_matrix(labels, flagged, name),
        "scores.png": pictures.score_histogram(labels, fitted.scores, threshold, name),
        "importance.png": pictures.feature_importance(fitted.importance, name),
    }
    return {file: pictures.png(figure) for file, figure in figures.items()}


def draw_comparison(models: list[Fitted], context: Context) -> dict[str, bytes]:
    """Draw the pictures that compare all models; return the PNGs by file name."""
    labels, options = context.parts.test[LABEL].to_numpy(), context.options
    figures = {
        "precision_recall.png": comparison_pictures.precision_recall(labels, models, options.seed),
        "calibration.png": comparison_pictures.calibration(labels, models),
        "cost.png": comparison_pictures.costs(labels, models, options.cost),
    }
    return {file: pictures.png(figure) for file, figure in figures.items()}


def calibration(fitted: Fitted, parts: Split) -> Calibration:
    """The calibration of a model on the validation and test parts together.

    Validation rows alone would have half of the frauds, and the threshold was chosen on them.
    """
    labels = np.concatenate([part[LABEL].to_numpy() for part in (parts.valid, parts.test)])
    scores = np.concatenate([fitted.valid_scores, fitted.scores])
    return calibrate(labels, scores, fitted.threshold)


def log_model(tracker: Tracker, run: str, fitted: Fitted, context: Context) -> Result:
    """Log parameters, metrics, pictures and the model to the model's run."""
    name, options, manifest = fitted.recipe.name, context.options, context.dataset.manifest
    metadata = {
        "threshold": fitted.threshold,
        "cost": asdict(options.cost),
        "data_hash": manifest.hash,
        "data_kind": manifest.kind,
        "split": options.split,
        "seed": options.seed,
    }
    drawn = draw_model(fitted, context.parts)
    example = context.parts.valid.head(5)
    profile = reference_profile(
        context.columns, fitted.valid_scores, fitted.threshold, calibration(fitted, context.parts)
    )
    model, size = tracker.log_model(run, name, fitted.estimator, metadata, example, profile)
    metrics = {**fitted.metrics, "model_bytes": float(size)}
    tracker.log(run, run_params(fitted, options), metrics)
    tracker.log_files(run, drawn)
    return Result(Outcome(name, run, model, metrics), fitted, drawn)


def log_comparison(tracker: Tracker, run: str, results: list[Result], context: Context) -> None:
    """Log the pictures, the report and the best model's identifiers to the comparison's run.

    Args:
        tracker: tracker of the comparison.
        run: identifier of the comparison's run.
        results: results of all models, best first.
        context: input of the comparison.

    """
    best, models = results[0].outcome, [result.fitted for result in results]
    drawn = draw_comparison(models, context)
    page = report(models, drawn | results[0].pictures, context, tracker.link(run))
    tracker.log_files(run, drawn | {"report.html": page})
    tracker.log(
        run,
        {"models": ",".join(model.recipe.name for model in models), "seed": context.options.seed},
        {f"best_{key}": best.metrics[key] for key in ("average_precision", "expected_cost")},
    )
    tracker.tag(run, {"best": best.name, "best.run": best.run, "best.model": best.model})
