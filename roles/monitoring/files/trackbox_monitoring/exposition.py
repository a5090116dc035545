"""Metrics in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


class Histogram:
    """A histogram: counts values by buckets. bounds: the upper ends of the buckets, in ascending order."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass
class Family:
    """A metric: its name, its type, its help text and its samples.

    samples: for each sample the suffix of its name (empty, except in a histogram), its labels and its value.
    """

    name: str
    kind: str
    text: str
    samples: list[tuple[str, Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """Add a sample."""
        self.samples.append(("", labels, value))

    def add_histogram(self, histogram: Histogram, **labels: str) -> None:
        """Add the samples of a histogram."""
        below = 0
        for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
            below += count
            self.samples.append(("_bucket", labels | {"le": bound}, below))
        self.samples += [("_sum", labels, histogram.total), ("_count", labels, below)]


def escaped(value: str) -> str:
    """Return a label's value, escaped for the text format."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def rendered(families: Iterable[Family]) -> str:
    """Return the metrics that have samples, in the text format."""
    lines = []
    for family in families:
        if family.samples:
            lines += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
        for more, labels, value in family.samples:
            shown = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
            # Write all digits, because %g would round timestamps.
            lines.append(f"{family.name}{more}{{{shown}}} {value!r}")
    return "".join(f"{line}\n" for line in lines)
