"""The names of the log's columns, which workers write and the follower reads. Without imports that take memory."""

from __future__ import annotations

# Before the features, and after them.
FIRST = ("request_id", "row", "time", "user", "version", "latency_ms")
LAST = ("score", "decision")
OURS = frozenset(FIRST + LAST)
PREFIX = "feature."
# How the name of a file of labels begins.
LABELS = "labels-"


def logged(name: str) -> str:
    """Return the name of a feature's column: with a prefix where the log has a column of its own with that name."""
    return f"{PREFIX}{name}" if name in OURS else name


def feature(column: str) -> str:
    """Return the name of a column's feature; see `logged`."""
    name = column.removeprefix(PREFIX)
    return name if name in OURS else column
