"""Where the command starts and ends: defaults, signals, errors and exit codes."""

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

#: For MLflow's client, where the user has not set them: fail in seconds, say nothing itself.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


def explained(error: Exception) -> FraudError | None:
    """The sentence for a full disk, or an error of MLflow's client or the connection to it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(
            f"The disk is full ({error.filename or tempfile.gettempdir()})",
            "Free some space, or let TMPDIR name a directory that has it.",
        )
    if type(error).__module__.split(".")[0] not in ("mlflow", "requests", "urllib3"):
        return None
    from fraud.tracking.probe import explain

    return explain(error, os.environ.get("MLFLOW_TRACKING_URI", ""))


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code (see `fraud.errors`).

    Every error is one sentence on stderr; with `--debug` the traceback stands above it.
    """
    debug = "--debug" in arguments
    try:
        cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        click.echo("Interrupted: the open runs are marked KILLED.", err=True)
        # Click turns every KeyboardInterrupt into an Abort.
        return 143 if Terminated in (type(error), type(error.__cause__)) else 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        known = error if isinstance(error, FraudError) else explained(error)
        click.echo(f"Error: {known or f'{error} (`fraud --debug …` shows where).'}", err=True)
        return known.code if known else 1
    return 0


def main() -> None:
    """The command `fraud`."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if "--debug" not in sys.argv:
        warnings.simplefilter("ignore")
    signals.install()
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that still fit a model after Ctrl-C would keep the process alive for minutes.
    os._exit(code)
