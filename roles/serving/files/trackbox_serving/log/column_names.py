"""Names of the log's columns and files. To save memory, this module imports no large libraries."""

from __future__ import annotations

# The log's columns before the features, and its columns after the features.
FIRST = ("request_id", "row", "time", "user", "version", "latency_ms")
LAST = ("score", "decision")
OURS = frozenset(FIRST + LAST)
PREFIX = "feature."
# The prefixes of files that are not request logs: files of labels, and files of challengers' scores.
LABELS, SHADOW = "labels-", "shadow-"
BESIDE = ("labels", "shadow")
# The suffix of JSON files with sample rows for the follower.
SAMPLE = ".sample.json"


def logged(name: str) -> str:
    """Return the column name of a feature. It gets a prefix if the log uses the name for a column of its own."""
    return f"{PREFIX}{name}" if name in OURS else name
