"""The entry point of `fraud`: default environment variables, signals, errors and exit codes."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
import warnings

import click

from fraud import signals
from fraud.cli.commands import cli
from fraud.errors import FraudError, OutputError, Terminated

#: Default environment variables for MLflow's client, so that it fails within seconds and prints
#: nothing. The user's environment variables take precedence.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


def as_fraud_error(error: Exception) -> FraudError | None:
    """Return an error with a remedy for a full disk or a failed request; None for other errors."""
    if isinstance(error, FraudError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(
            f"The disk is full ({error.filename or tempfile.gettempdir()})",
            "Free some space, or set TMPDIR to a directory on another disk.",
        )
    if type(error).__module__.split(".")[0] not in ("mlflow", "requests", "urllib3"):
        return None
    from fraud.tracking.probe import explain

    return explain(error, os.environ.get("MLFLOW_TRACKING_URI", ""))


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code (see `fraud.errors`).

    An error is printed to stderr as one sentence; `--debug` prints the traceback above it.
    """
    debug = "--debug" in arguments
    try:
        cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        click.echo("Interrupted: the open runs are marked KILLED.", err=True)
        # Click turns KeyboardInterrupt into Abort. Abort's cause distinguishes SIGTERM from Ctrl-C.
        return 143 if Terminated in (type(error), type(error.__cause__)) else 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        shown = as_fraud_error(error)
        click.echo(f"Error: {shown or f'{error} (`fraud --debug …` shows where).'}", err=True)
        return shown.code if shown else 1
    return 0


def main() -> None:
    """Run `fraud` with the arguments of the process."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if "--debug" not in sys.argv:
        warnings.simplefilter("ignore")
    signals.install()
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Exit without joining threads, because after Ctrl-C a thread that still fits a model would
    # delay the exit by minutes.
    os._exit(code)
