"""`fraud monitor`: compare the rows of a period with the training of the versions."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime, timedelta, timezone

import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient

from fraud import __version__
from fraud.data.traffic import Traffic
from fraud.errors import DataError, RegistryError
from fraud.evaluation import period_pictures, served_pictures
from fraud.evaluation.period import VersionTraffic, in_order
from fraud.evaluation.period_report import report
from fraud.evaluation.period_sentences import sentences
from fraud.evaluation.pictures import png
from fraud.evaluation.served import Counted
from fraud.settings import Settings
from fraud.tracking.profiles import fetch_profile
from fraud.tracking.registry import find_version, version_exists
from fraud.tracking.tracker import Tracker
from fraud.types import Monitoring


def monitor(
    settings: Settings, model: str, days: int, version: str | None, experiment: str | None = None
) -> Monitoring:
    """Measure the traffic of the last days, and log the results as one MLflow run.

    Args:
        settings: settings with the servers, the bucket of the log and the experiment.
        model: name of the registered model.
        days: number of days in UTC, today included.
        version: the only version to measure; None means all that scored rows.
        experiment: name of the experiment in MLflow; None means the one of the settings.

    Raises:
        DataError: the log has no rows of these days, or the version scored none of them.
        RegistryError: there is no such version, or no version has a reference profile.

    """
    client = MlflowClient(settings.tracking_uri)
    if version and not version_exists(client, model, version):
        raise RegistryError(
            f"The model {model} has no version {version}", "MLflow lists the versions of a model."
        )
    until = datetime.now(timezone.utc).date()
    traffic = Traffic(settings, model, until - timedelta(days=days - 1), until)
    found, notes = count(client, traffic, version)
    if traffic.unreadable:
        notes.append(f"{traffic.unreadable:,} objects of the log could not be read.")
    tracker = Tracker(
        settings, experiment or settings.experiment,
        {"served": model, "fraud.version": __version__},
    )  # fmt: skip
    with tracker.run(
        f"{model} monitored {datetime.now(timezone.utc):%Y-%m-%d %H:%M}", "monitoring"
    ) as run:
        versions = tuple(each.summary() for each in found)
        result = Monitoring(
            model, run, tracker.link(run), str(traffic.since), str(until), versions,
            tuple(map(sentences, versions)), tuple(notes),
        )  # fmt: skip
        track(tracker, result, found)
    return result


def count(
    client: MlflowClient, traffic: Traffic, only: str | None
) -> tuple[list[VersionTraffic], list[str]]:
    """Count the rows of each version; return the counts and what is to be said about them."""
    found: dict[str, VersionTraffic] = {}
    notes: list[str] = []
    scored: set[str] = set()
    created: dict[str, datetime | None] = {}
    earlier: Counter[str] = Counter()
    for frame in traffic:
        for name, part in frame.groupby("version"):
            version = str(name)
            if version not in created:
                created[version] = creation(client, traffic.model, version)
            # An earlier model of this name, which was deleted, had versions of the same numbers.
            own = since(part, created[version])
            earlier[version] += len(part) - len(own)
            if own.empty:
                continue
            scored.add(version)
            if only and version != only:
                continue
            if version not in found:
                profile, problem = fetch_profile(client, traffic.model, version)
                notes += [problem] if problem else []
                found[version] = VersionTraffic(version, profile)
            found[version].add(own)
    notes += [
        f"{rows:,} rows are older than version {version} of {traffic.model}: a deleted model of "
        "that name scored them, and they were not counted."
        for version, rows in sorted(earlier.items())
        if rows and only in (None, version)
    ]
    if not scored:
        raise DataError(
            f"The log has rows of {traffic.model} from {traffic.since} to {traffic.until} only of "
            "a deleted model of that name",
            "Score some, or look at a later period.",
        )
    if not found:
        raise DataError(
            f"Version {only} of {traffic.model} scored no rows from {traffic.since} to "
            f"{traffic.until}",
            f"These versions did: {', '.join(sorted(scored))}.",
        )
    if not any(each.profile for each in found.values()):
        raise RegistryError(" ".join(notes), "`fraud train` saves a profile with each model.")
    return in_order(found.values()), notes


def creation(client: MlflowClient, model: str, version: str) -> datetime | None:
    """When a version was registered; None if the registry does not have it."""
    found = find_version(client, model, version)
    return datetime.fromtimestamp(found.creation_timestamp / 1000, timezone.utc) if found else None


def since(rows: pd.DataFrame, created: datetime | None) -> pd.DataFrame:
    """The rows that were scored since then; all rows for None."""
    own: pd.DataFrame = rows if created is None else rows[rows["time"] >= created]
    return own


def track(tracker: Tracker, its: Monitoring, found: list[VersionTraffic]) -> None:
    """Fill the run: parameters, metrics in total and by day, tables, pictures, the report."""
    labels = Counted(pd.concat([each.labels for each in found]))
    pictures: dict[str, tuple[str, bytes]] = {}

    def draw(file: str, alt: str, figure: Figure) -> None:
        pictures[file] = (alt, png(figure))

    for traffic, one in zip(found, its.versions, strict=True):
        if traffic.profile:
            name = f"version_{one.version}"
            draw(
                f"index_{name}.png", f"Stability index of each feature, version {one.version}",
                period_pictures.indices(one),
            )  # fmt: skip
            draw(
                f"scores_{name}.png", f"Scores now and in training, version {one.version}",
                period_pictures.scores(one, traffic.profile.score, traffic.bins[-1]),
            )  # fmt: skip
    if any(one.precision or one.recall for one in its.versions):
        draw(
            "precision_recall.png", "Precision and recall: estimated, by labels, and in training",
            period_pictures.precision_recall(its.versions),
        )  # fmt: skip
    draw("flagged.png", "Share of flagged rows by day", period_pictures.flagged_by_day(found))
    draw("rows_by_day.png", "Rows and labels by day", served_pictures.rows_by_day(labels))
    changes = pd.DataFrame(
        [{"version": one.version, **vars(each)} for one in its.versions for each in one.changes]
    )
    files = {file: content for file, (_, content) in pictures.items()}
    files["changes.csv"] = changes.to_csv(index=False).encode()
    files["report.html"] = report(its, list(pictures.values()))
    tracker.log_files(its.run, files)
    params = {"model": its.model, "since": its.since, "until": its.until}
    tracker.log(its.run, params, metrics(its))
    tracker.log_days(its.run, by_day(found))
    drifted = [
        f"{each.name} (version {one.version})"
        for one in its.versions for each in one.changes if each.drifted
    ]  # fmt: skip
    nothing = "nothing" if any(one.changes for one in its.versions) else "not compared"
    # MLflow's tags may have 8,000 characters.
    tracker.tag(its.run, {"drifted": ", ".join(drifted)[:5000] or nothing})


def metrics(its: Monitoring) -> dict[str, float]:
    """The metrics of the period, by name and version."""
    found: dict[str, float] = {}
    for one in its.versions:
        values: dict[str, float | None] = {
            "rows": one.rows, "requests": one.requests, "flagged_share": one.flagged,
            "drifted": sum(each.drifted for each in one.changes) if one.changes else None,
            "labelled": one.real.labelled,
        }  # fmt: skip
        estimated = {"estimated_precision": one.precision, "estimated_recall": one.recall}
        for name, share in {**estimated, **one.real.shares}.items():
            if share:
                values |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
        # MLflow refuses most characters that a column's name may have.
        values |= {
            f"index.{re.sub(r'[^a-zA-Z0-9_. -]', '_', each.name)}": each.index
            for each in one.changes
        }
        found |= {
            f"{name}.version_{one.version}": float(value)
            for name, value in values.items()
            if value is not None
        }
    return found


def by_day(found: list[VersionTraffic]) -> list[tuple[str, date, float]]:
    """The daily metrics of all versions, as tuples of name, day and value."""
    listed: list[tuple[str, date, float]] = []
    for each in found:
        for day, (_, its) in zip(each.daily.index, each.daily.iterrows(), strict=True):
            listed.append((f"daily_rows.version_{each.version}", day, float(its["rows"])))
            if its["decided"]:
                share = float(its["flagged"] / its["decided"])
                listed.append((f"daily_flagged_share.version_{each.version}", day, share))
    return listed
