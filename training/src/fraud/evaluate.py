"""`fraud evaluate`: join the log of a served model with the labels that came back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone

import pandas as pd

from fraud import __version__
from fraud.data.inference import Log, read_log
from fraud.errors import DataError
from fraud.evaluation import served_pictures
from fraud.evaluation.pictures import png
from fraud.evaluation.served import (
    Counted,
    assume_ordinary,
    count,
    decision_changes,
    differences,
    notes,
)
from fraud.evaluation.served_report import report
from fraud.settings import Settings
from fraud.tracking.tracker import Tracker
from fraud.types import Evaluation, Window

#: Maximum number of rows in `changed_decisions.csv`.
MOST_CHANGED = 1000


def evaluate(
    settings: Settings, model: str, window: Window, experiment: str | None = None
) -> Evaluation:
    """Measure each served version by day of prediction, and log the results as one MLflow run.

    Args:
        settings: settings with the servers, the bucket of the log and the experiment.
        model: name of the registered model.
        window: the days, their time zone, and when a missing label counts as 0.
        experiment: name of the experiment in MLflow; None means that of the settings.

    Raises:
        DataError: the log has no rows of these days, or a label is not 0 or 1, or no row has a
            label and no challenger scored any row.

    """
    log = read_log(settings, model, window.since, window.until, window.time_zone)
    log = labelled(log, window)
    # A version can have scored rows as a challenger and, at another time, for clients. Then count
    # only the rows that it scored for clients.
    tried = log.shadow[~log.shadow["version"].isin(log.rows["version"])]
    counted = Counted(
        pd.concat([count(log.rows), count(tried)]) if len(tried) else count(log.rows),
        tuple(sorted(set(tried["version"]))),
    )
    compared = tuple(differences(log.shadow))
    check(settings, model, log, counted)
    tracker = Tracker(
        settings, experiment or settings.experiment, {"served": model, "fraud.version": __version__}
    )
    with tracker.run(
        f"{model} served {datetime.now(timezone.utc):%Y-%m-%d %H:%M}", "evaluation"
    ) as run:
        result = Evaluation(
            model, run, tracker.link(run),
            tuple(counted.total(version) for version in counted.versions), compared,
            notes(counted, log.unknown, log.unreadable),
        )  # fmt: skip
        track(tracker, result, counted, log, window)
    return result


def labelled(log: Log, window: Window) -> Log:
    """The log; rows without a label get 0 if they are older than `window.ordinary_after` days."""
    strange = log.rows["label"].dropna()
    if not strange.isin([0.0, 1.0]).all():
        raise DataError(
            "The labels have other values than 0 and 1, so there is no precision and no recall",
            "Send 1 for fraud and 0 for none.",
        )
    if window.ordinary_after is None:
        return log
    now = datetime.now(timezone.utc)
    rows, shadow = (
        assume_ordinary(each, window.ordinary_after, now) for each in (log.rows, log.shadow)
    )
    return replace(log, rows=rows, shadow=shadow)


def check(settings: Settings, model: str, log: Log, counted: Counted) -> None:
    """Raise DataError if there is nothing to measure."""
    if counted.days["labelled"].sum() or len(log.shadow):
        return
    rows = len(log.rows)
    if log.rows["decision"].isna().all():
        raise DataError(
            f"None of the {rows:,} logged rows of {model} has a decision: there is no threshold",
            "Log the model with metadata={'threshold': …}.",
        )
    raise DataError(
        f"None of the {rows:,} logged rows of {model} has a label yet",
        f"Send labels to {settings.serving_url}/{model}/feedback, or use --assume-ordinary-after.",
    )


def changed_decisions(shadow: pd.DataFrame) -> bytes:
    """The rows whose decision the challenger changes, as CSV, largest score difference first."""
    changed = shadow[decision_changes(shadow)]
    apart = (changed["score"] - changed["live_score"]).abs()
    order = apart.sort_values(ascending=False).index[:MOST_CHANGED]
    return changed.loc[order].drop(columns=["day"]).to_csv(index=False).encode()


def track(tracker: Tracker, its: Evaluation, counted: Counted, log: Log, window: Window) -> None:
    """Log parameters, metrics in total and by day, tables, pictures and the report to the run."""
    figures = {"rows_by_day.png": served_pictures.rows_by_day(counted)}
    if counted.days["labelled"].sum():
        for name in ("precision", "recall"):
            figures[f"{name}.png"] = served_pictures.share_by_day(counted, name)
    files = {}
    if len(log.shadow):
        figures["score_differences.png"] = served_pictures.score_differences(log.shadow)
        files["changed_decisions.csv"] = changed_decisions(log.shadow)
    drawn = {file: png(figure) for file, figure in figures.items()}
    files["days.csv"] = counted.days.to_csv().encode()
    page = report(its, counted, drawn, window.time_zone)
    tracker.log_files(its.run, drawn | files | {"report.html": page})
    params = {
        "model": its.model, "since": window.since or "", "until": window.until or "",
        "time_zone": window.time_zone, "assume_ordinary_after": window.ordinary_after or "",
    }  # fmt: skip
    tracker.log(its.run, {key: value for key, value in params.items() if value}, metrics(its))
    tracker.log_days(its.run, by_day(counted))


def metrics(its: Evaluation) -> dict[str, float]:
    """The metrics of all days together, by name and version."""
    found: dict[str, float] = {}
    for one in its.versions:
        values: dict[str, float] = {
            "rows": one.rows,
            "labelled": one.labelled,
            "frauds": one.frauds,
        }
        for name, share in one.shares.items():
            values |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
        found |= {f"{name}.version_{one.version}": float(value) for name, value in values.items()}
    for each in its.differences:
        pair = f"version_{each.version}_from_{each.against}"
        found |= {f"shadow_rows.{pair}": each.rows, f"changed_decisions.{pair}": each.changed}
        if each.mean is not None and each.largest is not None:
            found |= {
                f"score_difference_mean.{pair}": each.mean,
                f"score_difference_max.{pair}": each.largest,
            }
    return found


def by_day(counted: Counted) -> list[tuple[str, date, float]]:
    """The daily metrics of all versions, as tuples of name, day and value."""
    found = []
    for day, its in counted.by_day():
        name = f"version_{its.version}"
        found.append((f"daily_labelled_share.{name}", day, its.labelled / its.rows))
        for what, share in its.shares.items():
            found.append((f"daily_{what}.{name}", day, share.value))
    return found
