"""The command `fraud`."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fraud.errors import FraudError, Terminated
from fraud.screen import Screen
from fraud.settings import Settings

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


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


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress, only results.")


@data.command("push")
@click.argument("file")
@json_option
@quiet_option
def push(file: str, as_json: bool, quiet: bool) -> None:
    """Check FILE (CSV, gzipped CSV or Parquet) and store it in the bucket.

    The data set is named by a hash of its content: to push it again changes nothing.
    """
    from fraud.dataset import from_file
    from fraud.store import Store

    settings, screen = Settings.from_env(os.environ), Screen(quiet)
    dataset = from_file(Path(file))
    screen.dataset(dataset)
    fresh = Store(settings).push(dataset.frame, dataset.manifest)
    screen.note("Stored." if fresh else "It is there already: nothing to do.")
    if as_json:
        emit({**asdict(dataset.manifest), "new": fresh})


@data.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show the data sets in the bucket, the newest first."""
    from fraud.store import Store

    found = Store(Settings.from_env(os.environ)).manifests()
    emit([asdict(item) for item in found]) if as_json else Screen().manifests(found)


@cli.command()
@click.option("--data", help="A hash, `latest`, `synthetic` or a file.  [default: latest, if any]")
@click.option(
    "--profile", type=click.Choice(["default", "seed"]), default="default", show_default=True
)
@click.option("--models", help="Only these of the profile, separated by commas.")
@click.option("--split", type=click.Choice(["time", "random"]), default="time", show_default=True)
@click.option("--jobs", type=click.IntRange(1), help="Models at a time.  [default: one per core]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--experiment", help="In MLflow.  [default: $FRAUD_EXPERIMENT or fraud]")
@click.option("--cost-fn", type=float, default=120.0, show_default=True, help="Of a missed fraud.")
@click.option("--cost-fp", type=float, default=5.0, show_default=True, help="Of a false alarm.")
@json_option
@quiet_option
def train(as_json: bool, quiet: bool, cost_fn: float, cost_fp: float, **chosen: Any) -> None:
    """Train and compare the models of a profile; every one becomes a run in MLflow."""
    from fraud.runs import Options
    from fraud.scores import Cost
    from fraud.train import train as run

    settings, screen = Settings.from_env(os.environ), Screen(quiet)
    comparison = run(Options(cost=Cost(cost_fn, cost_fp), **chosen), settings, screen)
    emit(asdict(comparison)) if as_json else screen.comparison(comparison)


def emit(value: Any) -> None:
    """JSON on stdout."""
    click.echo(json.dumps(value, indent=2))


def _terminated(*_: object) -> None:
    raise Terminated


def main() -> None:
    """Run the command; every error is one sentence and an exit code (see `fraud.errors`)."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    debug = "--debug" in sys.argv
    if not debug:
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _terminated)
    code = 0
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        click.echo("Interrupted: open runs are marked KILLED.", err=True)
        code = 143 if isinstance(error, Terminated) else 130
    except FraudError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"Error: {error}", err=True)
        code = error.code
    except Exception as error:
        if debug:
            traceback.print_exc()
        click.echo(f"Error: {error} (`fraud --debug …` shows where).", err=True)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that still fit a model after Ctrl-C would keep the process alive for minutes.
    os._exit(code)
