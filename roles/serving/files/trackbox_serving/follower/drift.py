"""Measure the drift of live versions: compare the rows that they scored with the reference profiles of their models.

A window has at least WINDOW_ROWS rows and lasts at least WINDOW_SECONDS. In shorter windows the time of day alone looks
like drift. For example, in the first evening of `fraud`'s real sample, the PSI of V12 is 0.22 to 0.26 in windows of 4
hours, but 0.16 to 0.2 in windows of 6 hours.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from trackbox_serving.drift import stability
from trackbox_serving.drift.profile import Profile, ProfileError, read
from trackbox_serving.follower.unix import ask
from trackbox_serving.log.column_names import logged
from trackbox_serving.version import Version

WINDOW_ROWS, WINDOW_SECONDS = 10_000, 6 * 3600.0
# Seconds between two requests to a version.
ASKED = 60.0
# The maximum size of a version's response in bytes. The largest profile needs 0.3 MB.
ANSWER_BYTES = 1 << 20
# The names of the last two windows in the metrics. The later window comes first.
WINDOWS = ("last", "before")


@dataclass(frozen=True)
class Counted:
    """The counts of a version since it started: rows, flagged rows, and for each column the rows in each bin."""

    began: int
    rows: int
    flagged: int
    counts: tuple[tuple[int, ...], ...]

    def since(self, other: Counted | None) -> Counted:
        """Return the counts since `other`. If the version has restarted since then, return all its counts."""
        if other is None or other.began != self.began:
            return self
        counts = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(self.counts, other.counts, strict=True)]
        return Counted(self.began, self.rows - other.rows, self.flagged - other.flagged, tuple(map(tuple, counts)))

    def plus(self, other: Counted) -> Counted:
        """Return the sum of two counts."""
        counts = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(self.counts, other.counts, strict=True)]
        return Counted(other.began, self.rows + other.rows, self.flagged + other.flagged, tuple(map(tuple, counts)))

    @property
    def possible(self) -> bool:
        """Whether no number is negative."""
        return min(self.rows, self.flagged, *(count for counts in self.counts for count in counts)) >= 0


def parse(answer: bytes, profile: Profile) -> Counted | None:
    """Return the counts in a version's response, or None if it is malformed. The version is untrusted."""
    try:
        given = json.loads(answer)
        began, rows, flagged = (given[key] for key in ("began", "rows", "flagged"))
        counts = tuple(tuple(each) for each in given["counts"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    wanted = [len(reference.shares) for reference in profile.references]
    every = [began, rows, flagged, *(count for each in counts for count in each)]
    if [len(each) for each in counts] != wanted or not all(type(one) is int and 0 <= one < 2**63 for one in every):
        return None
    return Counted(began, rows, flagged, counts)


class Drift:
    """The last two windows of a version.

    Attributes:
        windows: finished windows, beginning with the latest.

    Args:
        profile: reference profile of the model.
        seconds, rows: minimum length of a window, and minimum number of its rows.

    """

    def __init__(self, profile: Profile, seconds: float = WINDOW_SECONDS, rows: int = WINDOW_ROWS) -> None:
        self.profile, self.seconds, self.rows = profile, seconds, rows
        self.windows: deque[Counted] = deque(maxlen=len(WINDOWS))
        self.last: Counted | None = None
        self.window: Counted | None = None
        self.opened = 0.0

    def add(self, counted: Counted, at: float) -> None:
        """Add the version's counts so far. at: time.monotonic(). The first call only stores them for comparison."""
        fresh = counted.since(self.last)
        if self.last is None or not fresh.possible:
            self.window = None
        elif self.window is None or not self.window.rows:
            # A window begins with its first rows. Otherwise a night without rows would count as part of its length.
            self.window, self.opened = fresh, at
        else:
            self.window = self.window.plus(fresh)
        self.last = counted
        if self.window and self.window.rows >= self.rows and at - self.opened >= self.seconds:
            self.windows.appendleft(self.window)
            self.window = None


@dataclass(frozen=True)
class Model:
    """A model's name, its live version and the drift of that version."""

    name: str
    version: str
    drift: Drift


class Watch:
    """Requests the counts of the live versions, and returns their drift as metrics."""

    def __init__(self) -> None:
        self.models: dict[str, tuple[tuple[str, str], Drift | None]] = {}
        self.asked: dict[str, float] = {}

    def look(self, version: Version, made: str) -> None:
        """Request the live version's counts if they are due. made: registration time, because numbers can be reused."""
        known, drift = self.models.get(version.name, (("", ""), None))
        if known != (version.version, made):
            drift = begin(version)
            self.models[version.name] = (version.version, made), drift
        elif time.monotonic() < self.asked[version.name] + ASKED:
            return
        self.asked[version.name] = time.monotonic()
        if drift is None:
            return
        with contextlib.suppress(OSError, HTTPException, ValueError):
            answer = ask(version.socket, "/drift", timeout=2)
            usable = answer.status == 200 and len(answer.body) <= ANSWER_BYTES
            counted = parse(answer.body, drift.profile) if usable else None
            if counted:
                drift.add(counted, time.monotonic())

    def metrics(self, live: Mapping[str, str]) -> str:
        """Return the metrics of all models. live: the live version of each model."""
        models = [
            Model(name, version, drift)
            for name, ((version, _), drift) in self.models.items()
            if drift and drift.windows and live.get(name) == version
        ]
        return drift_metrics(models) if models else ""


def begin(version: Version) -> Drift | None:
    """Return the drift of a version that has gone live, or None if its model has no profile that can be used."""
    try:
        profile = read(version.model)
    except ProfileError as error:
        print(f"{version.name} version {version.version}: drift is not measured: {error}", file=sys.stderr, flush=True)
        return None
    return None if profile is None else Drift(profile)


def drift_metrics(models: Sequence[Model]) -> str:
    """Return the metrics of the last two windows of some models, for Prometheus.

    A feature has four time series, and a fifth if it drifts. A model has at most 200 features, so about 1000 series.
    """
    from prometheus_client import generate_latest
    from prometheus_client.core import GaugeMetricFamily

    from trackbox_serving.follower.metrics import Families

    def family(name: str, text: str, *labels: str) -> Any:
        return GaugeMetricFamily(f"trackbox_serving_drift_{name}", text, labels=["model", "version", *labels])

    psi = family("psi", "Population stability index against the training", "feature", "window")
    noise = family("noise", "The index that rows like those of the training hardly exceed", "feature", "window")
    share = family("share", "Share of the last window's rows in the part that changed", "feature", "part", "reference")
    rows = family("rows", "Rows of a window", "window")
    flagged = family("flagged_share", "Share of flagged rows", "window")
    for model in models:
        labels, profile = [model.name, model.version], model.drift.profile
        flagged.add_metric([*labels, "reference"], profile.flagged)
        for name, window in zip(WINDOWS, model.drift.windows, strict=False):
            rows.add_metric([*labels, name], window.rows)
            flagged.add_metric([*labels, name], window.flagged / window.rows)
            for reference, counts in zip(profile.references, window.counts, strict=True):
                # A column named `score` is renamed, as in the log, because `score` means the model's scores.
                feature = "score" if reference is profile.score else logged(reference.name)
                value = stability.index(reference, counts)
                psi.add_metric([*labels, feature, name], value)
                noise.add_metric([*labels, feature, name], stability.noise(reference, sum(counts)))
                if name == WINDOWS[0] and value >= stability.SAID:
                    words, before, now = stability.change(reference, counts)
                    share.add_metric([*labels, feature, words, f"{before * 100:.4g}%"], now)
    return generate_latest(Families([psi, noise, share, rows, flagged])).decode()
