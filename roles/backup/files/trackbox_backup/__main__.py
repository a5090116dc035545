"""Trackbox's backup program, run as root.

    backup [SECONDS]     make a backup
    prove [SECONDS]      test that the newest backup can be restored
    sweep [SECONDS]      remove what a restore test left that was killed
    look [RUN]           print what a restore would do
    restore [RUN]        restore a backup
    secret NAME [RUN]    print a secret of a backup

RUN is the name of a backup, or `latest`, which is the default. `backup` and `prove` wait up to SECONDS for the
machine's lock. So does `sweep` with SECONDS, and does nothing if the lock stays taken. The other commands, and `sweep`
without SECONDS, do not acquire the lock, because the playbook that runs them holds it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from trackbox_host.lock import Busy, held

from trackbox_backup import backup, proof, settings
from trackbox_backup.database import Database
from trackbox_backup.lock import locked
from trackbox_backup.refused import Inconclusive, Refused
from trackbox_backup.restore import Restore
from trackbox_backup.scratch import Scratch
from trackbox_backup.store import Store

Job = Callable[[settings.Settings, Path], str]


def stop(*_: object) -> None:
    """Handle SIGTERM: raise Inconclusive, so that temporary files are removed and the lock is released."""
    raise Inconclusive("It was stopped before its end: it does not count.")


def sweep(known: settings.Settings, seconds: float | None) -> None:
    """Remove what a killed restore test left. seconds: how long to wait for the lock; None if the caller holds it."""
    with nullcontext() if seconds is None else held(seconds):
        if Scratch(Database(known), Store(known)).sweep():
            proof.PROOF.record_inconclusive("The restore test was killed before its end: it does not count.")
            print("What a killed restore test left was removed.")


def main() -> None:
    """Run the command that the arguments name."""
    signal.signal(signal.SIGTERM, stop)
    # Use /var/tmp by default, because restic's packs and MinIO's object lists may not fit in a small /tmp.
    tempfile.tempdir = os.environ.get("TMPDIR", "/var/tmp")
    command, *rest = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        known = settings.load()
        jobs: dict[str, tuple[Job, Callable[[str], None], str]] = {
            "backup": (backup.make, backup.STATUS.record, "Nothing was backed up"),
            "prove": (proof.prove, proof.PROOF.record_inconclusive, "No restore was tested"),
        }
        if command in jobs:
            job, record, undone = jobs[command]
            with locked(float((rest or ["0"])[0]), record, undone):
                print(job(known, Path(folder)))
            return
        if command == "sweep":
            try:
                sweep(known, float(rest[0]) if rest else None)
            except Busy:
                # The schema and bucket may be those of a restore test that runs. The next backup or test sweeps.
                print("Nothing was removed, because another job holds the lock of this machine.")
            return
        name = rest.pop(0) if command == "secret" else ""
        restore = Restore(known, Path(folder), *(rest or ["latest"]))
        if command == "look":
            print(json.dumps(restore.look() | {"lacks": restore.lacks()}))
        elif command == "secret":
            sys.stdout.buffer.write(restore.secrets()[name])
        elif command == "restore":
            if restore.look()["holds_data"]:
                restore.read_all()
            print(json.dumps(restore.prove(restore.write())))


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(str(refused))
