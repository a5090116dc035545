"""Write the result of each subject to bench/results, and assemble bench/RESULTS.md from these files."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"

HEAD = """# Results

`make bench` measures an installation and writes this file; `make bench ONLY=log_metric` measures one subject. Peers run
on the same machine and take turns. Figures are medians of several rounds; compare ratios, not absolute values.

| subject | figure | measured | target | |
| --- | --- | ---: | ---: | --- |
"""


Lines = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Target:
    """A measured value and its limit, both in `unit`. The limit is a maximum, or a minimum if `at_least` is true."""

    what: str
    value: float
    limit: float
    unit: str = "×"
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        """Return the cells of a table row in Markdown."""
        sign, met = "≥" if self.at_least else "≤", "met" if self.met else "**missed**"
        return f"{self.what} | {self.value:.2f} {self.unit} | {sign} {self.limit:g} {self.unit} | {met}"


@dataclass
class Result:
    """The result of a subject.

    targets: measured values and their limits
    text: tables in Markdown
    axes: labels of the x and y axes
    lines: curves to plot: a list of (x, y) points for each name
    memory: (x, peak PSS in MB) points for each service
    growth_reason: the reason why the curves rise
    miss_reason: reason for a missed target, found with a profiler; printed only if a target is missed
    """

    targets: list[Target]
    text: str
    axes: tuple[str, str] = ("", "")
    lines: Lines = field(default_factory=dict)
    memory: Lines = field(default_factory=dict)
    growth_reason: str = ""
    miss_reason: str = ""


def spread(values: Sequence[float]) -> str:
    """Return the median, the minimum and the maximum as text."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def memory_table(result: Result) -> str:
    """Return a table of the services' PSS, with one column for each service."""
    sizes = [size for size, _ in next(iter(result.memory.values()))]
    lines = [f"| {result.axes[0]} | " + " | ".join(f"{name}, MB" for name in result.memory) + " |"]
    lines.append("| ---: |" + " ---: |" * len(result.memory))
    for number, size in enumerate(sizes):
        cells = [f"{points[number][1]:.0f}" for points in result.memory.values()]
        lines.append(f"| {size:,.0f} | " + " | ".join(cells) + " |")
    return "Peak memory of each service during the measurement, as PSS:\n\n" + "\n".join(lines)


def keep(name: str, result: Result, machine: dict[str, str]) -> None:
    """Write bench/results/NAME.json and NAME.md."""
    RESULTS.mkdir(exist_ok=True)
    parts = [result.text.strip()]
    if result.memory:
        parts.append(memory_table(result))
    if result.growth_reason:
        parts.append(f"Why the curves rise: {result.growth_reason}")
    if result.miss_reason and not all(target.met for target in result.targets):
        parts.append(f"Why targets are missed: {result.miss_reason}")
    (RESULTS / f"{name}.md").write_text("\n\n".join(parts) + "\n")
    kept = {"machine": machine, "targets": [asdict(target) for target in result.targets]}
    kept |= {"axes": result.axes, "lines": result.lines, "memory": result.memory}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def write() -> None:
    """Draw the plots, and write RESULTS.md."""
    # Run plot.py with the training package's Python, because only this environment has matplotlib.
    subprocess.run([ROOT / "training/.venv/bin/python", ROOT / "bench/plot.py"], check=True)
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    rows = [f"| {name} | {Target(**target)} |" for name, found in kept.items() for target in found["targets"]]
    parts = [HEAD + "\n".join(rows)]
    for name, found in kept.items():
        measured = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
        parts.append(f"## {name}\n\nMeasured: {measured}.\n\n{(RESULTS / f'{name}.md').read_text().strip()}")
        if (RESULTS / f"{name}.png").exists():
            drawn = found["axes"][1] + (" and memory" if found.get("memory") else "")
            parts[-1] += f"\n\n![{drawn} against {found['axes'][0]}](results/{name}.png)"
    parts += [path.read_text().strip() for path in [RESULTS / "by-hand.md"] if path.exists()]
    Path(ROOT / "bench/RESULTS.md").write_text("\n\n".join(parts) + "\n")
