"""Count the rows of a period by version, and compare them with the reference profiles."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from fraud.data.traffic import column_of
from fraud.evaluation import stability
from fraud.evaluation.calibration import estimate
from fraud.evaluation.reference_profile import Profile, count_bins
from fraud.evaluation.served import Counted, count, served
from fraud.types import Change, Monitored

DAILY = ["rows", "decided", "flagged"]


class VersionTraffic:
    """The counts of the rows of one version.

    Attributes:
        version: number of the version.
        profile: reference profile of its model; None if it has none.
        bins: numbers of rows in the bins of each reference of the profile, features first.
        blocks: numbers of rows in the blocks of the calibration.
        daily: table indexed by day with the columns `DAILY`: rows, rows with a decision, and
            flagged rows.
        labels: the table `Counted.days`.
        requests: number of requests.
        featured: number of rows that were logged with features.

    """

    def __init__(self, version: str, profile: Profile | None) -> None:
        self.version, self.profile = version, profile
        self.requests = self.featured = 0
        self.daily = pd.DataFrame(columns=DAILY, dtype=int)
        self.labels: pd.DataFrame | None = None
        references = profile.references if profile else ()
        self.edges = [np.array(each.edges) for each in references]
        self.bins = [np.zeros(len(each.shares), dtype=np.int64) for each in references]
        calibration = profile.calibration if profile else None
        self.blocks = np.zeros(len(calibration.rows) if calibration else 0, dtype=np.int64)

    def add(self, frame: pd.DataFrame) -> None:
        """Count rows.

        Args:
            frame: rows of this version with the columns of the log, `day` and `label`.

        """
        # Each request has one row with the number 0.
        self.requests += int((frame["row"] == 0).sum())
        daily = pd.DataFrame({
            "rows": np.ones(len(frame), dtype=int),
            "decided": frame["decision"].notna().astype(int).to_numpy(),
            "flagged": (frame["decision"] == 1).astype(int).to_numpy(),
        }).groupby(frame["day"].to_numpy()).sum()  # fmt: skip
        self.daily = self.daily.add(daily, fill_value=0).astype(int)
        # A label that is neither 0 nor 1 says nothing about fraud.
        usable = frame.assign(label=frame["label"].where(frame["label"].isin([0.0, 1.0])))
        counted = count(usable)
        self.labels = (
            counted if self.labels is None else self.labels.add(counted, fill_value=0).astype(int)
        )
        if self.profile:
            self._add_to_bins(frame, self.profile)

    def _add_to_bins(self, frame: pd.DataFrame, profile: Profile) -> None:
        names = [column_of(each.name) for each in profile.columns]
        scores = _numbers(frame["score"])
        if set(names) <= set(frame.columns):
            self.featured += len(frame)
            values = [_numbers(frame[name]) for name in names]
        else:
            values = []
        for number, column in enumerate(values):
            self.bins[number] += count_bins(self.edges[number], column)
        self.bins[-1] += count_bins(self.edges[-1], scores)
        if profile.calibration:
            self.blocks += profile.calibration.count(scores)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.daily["rows"].sum())

    def changes(self) -> tuple[Change, ...]:
        """Compare the features, if they were logged, and the scores: the largest index first."""
        if self.profile is None:
            return ()
        named = [(column_of(each.name), each) for each in self.profile.columns]
        named = [*named, ("score", self.profile.score)]
        found = []
        for (name, reference), bins in zip(named, self.bins, strict=True):
            counts = bins.tolist()
            if not sum(counts):
                continue
            index = stability.index(reference, counts)
            noise = stability.noise(reference, sum(counts))
            words, before, now = stability.change(reference, counts)
            below, *_, above, missing = (bins / sum(counts)).tolist()
            low, *_, high, absent = reference.shares
            drifted = index > stability.LIMIT and index > noise
            found.append(
                Change(
                    name, index, noise, drifted, words, before, now, missing, absent,
                    below + above, low + high,
                )
            )  # fmt: skip
        return tuple(sorted(found, key=lambda one: -one.index))

    def summary(self) -> Monitored:
        """All that was measured of the version."""
        decided, flagged = int(self.daily["decided"].sum()), int(self.daily["flagged"].sum())
        calibration = self.profile.calibration if self.profile else None
        precision, recall = estimate(calibration, self.blocks) if calibration else (None, None)
        before = estimate(calibration, np.array(calibration.rows)) if calibration else (None, None)
        labels = Counted(self.labels) if self.labels is not None else None
        return Monitored(
            version=self.version, rows=self.rows, requests=self.requests,
            first=f"{self.daily.index.min():%Y-%m-%d}", last=f"{self.daily.index.max():%Y-%m-%d}",
            flagged=flagged / decided if decided else None,
            flagged_before=self.profile.flagged if self.profile else None,
            featured=self.featured, changes=self.changes(), precision=precision, recall=recall,
            precision_before=before[0].value if before[0] else None,
            recall_before=before[1].value if before[1] else None,
            real=labels.total(self.version) if labels else served(self.version, _NONE),
        )  # fmt: skip


_NONE = {"rows": 0, "labelled": 0, "flagged": 0, "frauds": 0, "caught": 0}


def _numbers(column: pd.Series) -> np.ndarray:
    """(n,) values as float64; NaN for what is no number."""
    numbers = pd.to_numeric(column, errors="coerce")
    values: np.ndarray = numbers.to_numpy(np.float64, na_value=np.nan)
    return values


def in_order(traffic: Iterable[VersionTraffic]) -> list[VersionTraffic]:
    """Versions in the order of their numbers."""
    return sorted(traffic, key=lambda its: (len(its.version), its.version))
