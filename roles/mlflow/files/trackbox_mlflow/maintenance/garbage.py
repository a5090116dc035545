"""Collect what was deleted in MLflow long ago, and files without a run, model or trace.

    python -m trackbox_mlflow.maintenance.garbage look|collect DAYS      look: a dry run

MLflow's own store deletes each row, and this program then deletes the row's files. `mlflow gc` (3.17) is not used,
because it deletes the files of registered models, stops at the first run that it cannot delete, and leaves files
without a row.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from trackbox_host.lock import Busy, held
from trackbox_host.status import Status

from trackbox_mlflow.maintenance.collector import Collector

METRICS = {"bytes": ("bytes", "What the last one freed.")}
COUNTS = "{runs} runs, {models} models, {experiments} experiments and {folders} unreferenced folders: {objects} objects"


def clock_jump(state: Path, days: float) -> float:
    """Return by how many days the clock was set forward since the last collection.

    A clock that was set forward makes rows look older than they are. After a reboot, the machine may have been off for
    a while, so up to `days` + 31 days are not counted as a jump.
    """
    file = state / "clock.json"
    now: dict[str, Any] = {"boot": os.environ["BOOT"], "time": time.time()}
    now["up"] = time.clock_gettime(time.CLOCK_BOOTTIME)
    last = json.loads(file.read_text()) if file.exists() else now
    file.write_text(json.dumps(now) + "\n")
    elapsed = now["up"] - last["up"] if now["boot"] == last["boot"] else (days + 31) * 86400
    ahead: float = now["time"] - last["time"] - elapsed
    return ahead / 86400


def run(collect: bool, days: float, state: Path, status: Status) -> str:
    """List or collect the garbage; return an error message, or an empty string."""
    if days <= 0:
        return "mlflow_gc_days is 0, so everything that was deleted is kept. Nothing was collected."
    with ExitStack() as stack:
        if collect:
            try:
                stack.enter_context(held())
            except Busy:
                return "Nothing was collected: a backup, restore, upgrade, rotation or removal is at work."
            if (ahead := clock_jump(state, days)) > 1 / 24:
                return (
                    f"Nothing was collected: since the last time the clock was put forward by {ahead:.1f} days, or the "
                    "machine was off for that long. If the clock is right now, the next collection works again."
                )
        collector = Collector(collect, days, state)
        collector.run()
        error = "; ".join(collector.errors)
        if collect:
            status.record(error, **collector.done)
    done = collector.done
    print(f"{'Collected' if collect else 'Would collect'} {COUNTS.format(**done)}, {done['bytes'] / 1e6:.1f} MB.")
    return error


def main(arguments: Sequence[str]) -> None:
    """List or collect the garbage, and exit with the error message if there is one."""
    collect, days = arguments[0] == "collect", float(arguments[1])
    state = Path(os.environ["STATE_DIRECTORY"])
    status = Status(state, "garbage", METRICS)
    try:
        error = run(collect, days, state, status)
    except Exception as broken:
        error = f"It broke off: {type(broken).__name__} {broken}"
    if error:
        if collect:
            status.record(error)
        sys.exit(error)


if __name__ == "__main__":
    main(sys.argv[1:])
