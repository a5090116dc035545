"""The command `fraud`: its subcommands and their options."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import click

from fraud.screen import Screen
from fraud.settings import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fraud")
@click.option("--debug", is_flag=True, help="Show tracebacks and the libraries' own logs.")
def cli(debug: bool) -> None:
    """Train fraud models, compare and track them, and score transactions with the best.

    \b
    fraud data push creditcard.csv     store a data set
    fraud train                        train and compare the models on it
    """


@cli.group()
def data() -> None:
    """Data sets in the object store."""


day = click.DateTime(["%Y-%m-%d"])
positive = click.FloatRange(min=0, min_open=True)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
wait_option = click.option(
    "--wait", is_flag=True, help="Return when the endpoint serves the champion, or say why not."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress, only results.")


@data.command("push")
@click.argument("file")
@json_option
@quiet_option
def push(file: str, as_json: bool, quiet: bool) -> None:
    """Check FILE (CSV, gzipped CSV, Parquet or openml:ID) and store it in the bucket.

    The data set is named by a hash of its content, so pushing it again changes nothing.
    """
    from fraud.data.dataset import from_name
    from fraud.data.store import Store

    settings, screen = Settings.from_env(os.environ), Screen(quiet)
    dataset = from_name(file)
    screen.dataset(dataset)
    fresh = Store(settings).push(dataset.frame, dataset.manifest)
    screen.note("Stored." if fresh else "It is there already: nothing to do.")
    if as_json:
        emit({**asdict(dataset.manifest), "new": fresh})


@data.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show the data sets in the bucket, the newest first."""
    from fraud.data.store import Store

    found = Store(Settings.from_env(os.environ)).manifests()
    emit([asdict(item) for item in found]) if as_json else Screen().manifests(found)


@cli.command()
@click.option("--data", help="A hash, `latest`, `synthetic` or a file.  [default: latest, if any]")
@click.option(
    "--profile", type=click.Choice(["default", "seed"]), default="default", show_default=True
)
@click.option("--models", help="Separated by commas.  [default: all of the profile]")
@click.option("--split", type=click.Choice(["time", "random"]), default="time", show_default=True)
@click.option("--jobs", type=click.IntRange(1), help="Models at a time.  [default: one per core]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--experiment", help="Name in MLflow.  [default: $FRAUD_EXPERIMENT or fraud]")
@click.option(
    "--cost-fn", type=positive, default=120.0, show_default=True, help="Cost of a missed fraud."
)
@click.option(
    "--cost-fp", type=positive, default=5.0, show_default=True, help="Cost of a false alarm."
)
@json_option
@quiet_option
def train(as_json: bool, quiet: bool, cost_fn: float, cost_fp: float, **chosen: Any) -> None:
    """Train and compare the models of a profile; every one becomes a run in MLflow."""
    from fraud.train import train as run
    from fraud.types import Cost, Options

    settings, screen = Settings.from_env(os.environ), Screen(quiet)
    comparison = run(Options(cost=Cost(cost_fn, cost_fp), **chosen), settings, screen)
    emit(asdict(comparison)) if as_json else screen.comparison(comparison)


@cli.command()
@click.argument("comparison", required=False)
@click.option("--dry-run", is_flag=True, help="Compare only; register and move nothing.")
@click.option("--force", is_flag=True, help="Make it the champion even if it is not better.")
@wait_option
@json_option
def promote(comparison: str | None, dry_run: bool, force: bool, wait: bool, as_json: bool) -> None:
    """Make the best model of a comparison the champion, if it beats the current one.

    COMPARISON is the identifier of a comparison's run (default: the newest comparison). The two
    models are compared on the same test rows by a paired bootstrap of average precision.
    """
    from fraud.promote import promote as run
    from fraud.tracking.probe import probe

    settings = Settings.from_env(os.environ)
    probe(settings)
    decision = run(settings, comparison, dry_run, force)
    emit(asdict(decision)) if as_json else Screen().decision(decision)
    if wait and decision.version and not dry_run:
        wait_until_served(settings, decision.version, quiet=as_json)


@cli.command()
@wait_option
def rollback(wait: bool) -> None:
    """Swap the champion and the previous champion."""
    from fraud.tracking.probe import probe
    from fraud.tracking.registry import rollback as run

    settings = Settings.from_env(os.environ)
    probe(settings)
    now, before = run(settings)
    click.echo(f"Version {now} is the champion again, version {before} the previous one.")
    if wait:
        wait_until_served(settings, now)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="A .csv or .parquet file.  [default: FILE.scores.csv in this directory]",
)  # fmt: skip
@json_option
@quiet_option
def predict(file: Path, output: Path | None, as_json: bool, quiet: bool) -> None:
    """Score the transactions in FILE (CSV or Parquet, of any size) with the champion.

    The output has a row for each row of FILE, in the same order: score, decision (1 is flagged)
    and the model's version. The output file is created when it is complete.
    """
    from fraud.predict import predict as run
    from fraud.tracking.probe import probe

    settings, screen = Settings.from_env(os.environ), Screen(quiet)
    probe(settings)
    with screen.counting("rows") as progress:
        target = output or Path(file.name.split(".")[0] + ".scores.csv")
        result = run(file, target, settings, progress)
    emit(asdict(result)) if as_json else screen.prediction(result)


@cli.command()
@click.option(
    "--model", default="fraud", show_default=True, help="A registered model that is served."
)
@click.option("--since", type=day, help="First day of prediction, YYYY-MM-DD.  [default: all]")
@click.option("--until", type=day, help="Last day of prediction.  [default: today]")
@click.option(
    "--time-zone", default="UTC", show_default=True, help="Of these days, like Europe/Berlin."
)
@click.option(
    "--assume-ordinary-after", "ordinary_after", type=click.IntRange(0), metavar="DAYS",
    help="Rows that have no label after so many days count as ordinary.",
)  # fmt: skip
@click.option("--experiment", help="Name in MLflow.  [default: $FRAUD_EXPERIMENT or fraud]")
@json_option
def evaluate(
    model: str, since: datetime | None, until: datetime | None, time_zone: str,
    ordinary_after: int | None, experiment: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure the served versions by the labels that came back, and challengers by the log.

    The log and the labels are joined by request and row. Precision and recall of each version, by
    day of prediction, become a run in MLflow, with pictures and a report.
    """
    from fraud.evaluate import evaluate as run
    from fraud.tracking.probe import probe
    from fraud.types import Window

    if time_zone not in available_timezones():
        raise click.BadParameter(
            f"{time_zone!r} is no time zone, like Europe/Berlin.", param_hint="--time-zone"
        )
    settings = Settings.from_env(os.environ)
    probe(settings)
    days = [each.date() if each else None for each in (since, until)]
    result = run(settings, model, Window(days[0], days[1], time_zone, ordinary_after), experiment)
    emit(asdict(result)) if as_json else Screen().evaluation(result)


@cli.command()
@click.option(
    "--model", default="fraud", show_default=True, help="A registered model that is served."
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=30, show_default=True,
    help="Length of the period in days (UTC), today included.",
)  # fmt: skip
@click.option("--version", type=click.IntRange(1), help="Only this version.  [default: all]")
@click.option("--experiment", help="Name in MLflow.  [default: $FRAUD_EXPERIMENT or fraud]")
@json_option
def monitor(
    model: str, days: int, version: int | None, experiment: str | None, as_json: bool
) -> None:
    """Compare the rows that were scored lately with the training, and estimate how good it is.

    The log of the served model is compared with the reference profile of each version: which
    features drifted, and what precision and recall are, estimated without labels and measured by
    those that came back. The result becomes a run in MLflow, with pictures and a report.
    """
    from fraud.monitor import monitor as run
    from fraud.tracking.probe import probe

    settings = Settings.from_env(os.environ)
    probe(settings)
    result = run(settings, model, days, str(version) if version else None, experiment)
    emit(asdict(result)) if as_json else Screen().monitoring(result)


def wait_until_served(settings: Settings, version: str, quiet: bool = False) -> None:
    """Wait until the endpoint serves a version; print a message unless `quiet`."""
    from fraud.tracking.served import wait

    seconds = wait(settings, version, say=None if quiet else click.echo)
    if not quiet:
        click.echo(f"The endpoint serves version {version} after {seconds:.1f} s.")


def emit(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2))
