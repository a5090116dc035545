"""Metrics of jobs, from the status files that trackbox_host.status writes, and of certificates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trackbox_monitoring.exposition import Family


def job_metrics(folder: Path, expected: Iterable[str]) -> list[Family]:
    """Return metrics with the outcome of each job that has a status file in the folder, and with the expected jobs.

    A status file that cannot be read counts as missing, and the alert BackupMissing reports a missing one.
    """
    success = Family("trackbox_job_last_success_timestamp_seconds", "gauge", "When the job last succeeded, 0 for never")
    failed = Family("trackbox_job_failed", "gauge", "Whether the job's last try failed")
    size = Family("trackbox_job_bytes", "gauge", "What the job last saved, compared or freed")
    wanted = Family("trackbox_job_expected", "gauge", "The settings plan this job")
    # The second job of a folder has a file of its own.
    paths = {path: path.parent.name for path in folder.glob("*/last.json")}
    paths |= {path: path.stem for path in folder.glob("*/proof.json")}
    for path, name in sorted(paths.items()):
        try:
            known = json.loads(path.read_text())
            ended, error = float(known["last_success_unix"]), bool(known["error"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        success.add(ended, name=name)
        failed.add(int(error), name=name)
        if isinstance(known.get("bytes"), int):
            size.add(known["bytes"], name=name)
    for name in expected:
        wanted.add(1, name=name)
    return [success, failed, size, wanted]


def limit_metrics(root: Path, limits: Mapping[str, Mapping[str, Any]]) -> list[Family]:
    """Return, for each job that must succeed now and then, its limit, and since when the settings plan it.

    limits: by the job's name, the path of its timer, and the days within which it must succeed. root: as in Monitor.
    """
    planned = Family("trackbox_job_planned_timestamp_seconds", "gauge", "When the job's timer was written")
    limit = Family("trackbox_job_limit_seconds", "gauge", "The job must succeed within this time")
    for name, of in limits.items():
        timer = root / of["timer"].lstrip("/")
        if timer.exists():
            planned.add(int(timer.stat().st_mtime), name=name)
        limit.add(int(of["days"]) * 86400, name=name)
    return [planned, limit]


def certificate_metrics(path: Path) -> list[Family]:
    """Return metrics with begin and end of each certificate, from a file with the lines NAME BEGIN END, in seconds."""
    begins = Family("trackbox_certificate_not_before_timestamp_seconds", "gauge", "When the certificate begins")
    ends = Family("trackbox_certificate_not_after_timestamp_seconds", "gauge", "When the certificate ends")
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
        for name, begin, end in lines:
            begins.add(int(begin), name=name)
            ends.add(int(end), name=name)
    except (OSError, ValueError):
        return []
    return [begins, ends]
