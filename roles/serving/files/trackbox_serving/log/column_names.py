"""The names of the log's columns and files. Without imports that take memory."""

from __future__ import annotations

# Before the features, and after them.
FIRST = ("request_id", "row", "time", "user", "version", "latency_ms")
LAST = ("score", "decision")
OURS = frozenset(FIRST + LAST)
PREFIX = "feature."
# How the names of files begin that are no log of requests: labels, and what challengers say of logged rows.
LABELS, SHADOW = "labels-", "shadow-"
BESIDE = ("labels", "shadow")
# How the name of a file ends that has rows for the follower, as JSON.
SAMPLE = ".sample.json"


def logged(name: str) -> str:
    """Return the name of a feature's column: with a prefix where the log has a column of its own with that name."""
    return f"{PREFIX}{name}" if name in OURS else name
