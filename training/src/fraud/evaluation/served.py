"""Precision and recall of served versions by prediction day, from the log and its labels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from fraud.evaluation.metrics import wilson
from fraud.types import Difference, Interval, Served

COUNTS = ["rows", "labelled", "flagged", "frauds", "caught"]


@dataclass(frozen=True)
class Counted:
    """Counts by version and day.

    Attributes:
        days: table indexed by `version` and `day`, with the columns `COUNTS`. `rows` counts all
            rows, and `labelled` those with label and decision. Among the labelled rows, `flagged`,
            `frauds` and `caught` count flagged rows, frauds and flagged frauds.
        challengers: versions that only scored logged rows and served no client.

    """

    days: pd.DataFrame
    challengers: tuple[str, ...] = ()

    def total(self, version: str) -> Served:
        """The counts of a version, summed over all days."""
        return self._served(version, self.days.loc[[version]].sum())

    def by_day(self) -> list[tuple[date, Served]]:
        """The counts of each version on each day on which it scored rows, oldest day first."""
        frame = self.days.reset_index().sort_values(["day", "version"])
        return [(row["day"], self._served(str(row["version"]), row)) for _, row in frame.iterrows()]

    def _served(self, version: str, counts: pd.Series) -> Served:
        known = {name: int(counts[name]) for name in COUNTS}
        return served(version, known, version in self.challengers)

    @property
    def span(self) -> tuple[date, date]:
        """The first and the last day."""
        days = self.days.index.unique("day")
        return days.min(), days.max()

    @property
    def versions(self) -> list[str]:
        """The versions in the order of their numbers."""
        return sorted(self.days.index.unique("version"), key=lambda text: (len(text), text))


def assume_ordinary(frame: pd.DataFrame, after: int, now: datetime) -> pd.DataFrame:
    """Give the label 0 to each row that has none, if it was scored more than `after` days ago."""
    old = frame["label"].isna() & (frame["time"] < now - timedelta(days=after))
    return frame.assign(label=frame["label"].mask(old, 0.0))


def count(rows: pd.DataFrame) -> pd.DataFrame:
    """Count rows by version and day.

    Args:
        rows: rows with `version`, `day`, `decision` (1 if flagged, missing if the version has no
            threshold) and `label` (1 for fraud, NaN if there is none).

    Returns:
        The table `Counted.days`. Rows without label or decision count only in its column `rows`.

    """
    known = rows["label"].notna() & rows["decision"].notna()
    fraud = known & (rows["label"] == 1)
    flagged = known & (rows["decision"] == 1)
    columns = {
        "version": rows["version"],
        "day": rows["day"],
        "rows": np.ones(len(rows), dtype=int),
        "labelled": known.astype(int),
        "flagged": flagged.astype(int),
        "frauds": fraud.astype(int),
        "caught": (fraud & flagged).astype(int),
    }
    return pd.DataFrame(columns).groupby(["version", "day"]).sum()


def served(version: str, counts: dict[str, int], challenger: bool = False) -> Served:
    """Add precision and recall with 95 % intervals to the counts; None if the divisor is 0."""

    def share(hits: int, total: int) -> Interval | None:
        return Interval(*map(float, wilson(hits, total))) if total else None

    precision = share(counts["caught"], counts["flagged"])
    recall = share(counts["caught"], counts["frauds"])
    return Served(version, challenger, precision=precision, recall=recall, **counts)


def decision_changes(shadow: pd.DataFrame) -> pd.Series:
    """(n,) whether the decisions of challenger and live version differ; false if one is missing."""
    both = shadow["decision"].notna() & shadow["live_decision"].notna()
    return both & (shadow["decision"] != shadow["live_decision"])


def differences(shadow: pd.DataFrame) -> list[Difference]:
    """Compare each challenger with each version that was live while it scored the same rows.

    Args:
        shadow: rows with `version`, `live_version`, and the scores and decisions of both versions.

    """
    found = []
    for (version, against), part in shadow.groupby(["version", "live_version"]):
        apart = (part["score"] - part["live_score"]).abs().dropna()
        changed = decision_changes(part)
        found.append(
            Difference(
                version=str(version), against=str(against), rows=len(part),
                changed=int(changed.sum()),
                newly_flagged=int((changed & (part["decision"] == 1)).sum()),
                mean=float(apart.mean()) if len(apart) else None,
                largest=float(apart.max()) if len(apart) else None,
            )
        )  # fmt: skip
    return found


def notes(counted: Counted, unknown: int, unreadable: int) -> tuple[str, ...]:
    """Notes for the user on limits of the results, such as labels of unknown rows."""
    found = []
    if unknown:
        found.append(f"{unknown:,} labels are of rows that the log of these days does not have.")
    if unreadable:
        found.append(f"{unreadable:,} objects of the log could not be read.")
    for version in counted.versions:
        its = counted.total(version)
        if 0 < its.labelled == its.frauds:
            found.append(
                f"All {its.labelled:,} labels of version {version} are 1, so its precision says "
                "nothing: send labels of 0 too, or use --assume-ordinary-after."
            )
    return tuple(found)
