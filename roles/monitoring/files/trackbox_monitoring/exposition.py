"""Metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass
class Family:
    """A metric: its name, its kind (gauge or counter), what it is, and its samples, each with its labels."""

    name: str
    kind: str
    text: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """Add a sample."""
        self.samples.append((labels, value))


def escaped(value: str) -> str:
    """Return a label's value as the format has it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def rendered(families: Iterable[Family]) -> str:
    """Return the text of the families that have samples."""
    lines = []
    for family in families:
        if family.samples:
            lines += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            shown = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
            # Times need all their digits, which %g would cut off.
            lines.append(f"{family.name}{{{shown}}} {value!r}")
    return "".join(f"{line}\n" for line in lines)
