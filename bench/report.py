"""What a subject finds, how it is kept in bench/results, and bench/RESULTS.md from all of it."""

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

`make bench` measures an installation and writes this; `make bench ONLY=log_metric` one subject. Peers run in the same
machine and take turns; figures are medians of several rounds, and what counts is their ratio.

| subject | figure | is | shall be | |
| --- | --- | ---: | ---: | --- |
"""


Lines = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Reach:
    """One figure beside what it shall be: `value` and `limit` are in `unit`, `at_least` says on which side of it."""

    what: str
    value: float
    limit: float
    unit: str = "×"
    at_least: bool = False

    @property
    def held(self) -> bool:
        """Whether the figure is what it shall be."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        """The cells of a row."""
        sign, held = "≥" if self.at_least else "≤", "held" if self.held else "**not held**"
        return f"{self.what} | {self.value:.2f} {self.unit} | {sign} {self.limit:g} {self.unit} | {held}"


@dataclass
class Result:
    """What a subject found: its reaches, a text in Markdown, and lines to plot (name to points).

    memory: lines of the services' PSS, in MB, against the same x; bends: what bends the curves, a sentence or two; why:
    what keeps a reach from being held, by a profile, for when one is not.
    """

    reaches: list[Reach]
    text: str
    axes: tuple[str, str] = ("", "")
    lines: Lines = field(default_factory=dict)
    memory: Lines = field(default_factory=dict)
    bends: str = ""
    why: str = ""


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where they go."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def memory_table(result: Result) -> str:
    """The services' PSS, a column each."""
    sizes = [size for size, _ in next(iter(result.memory.values()))]
    lines = [f"| {result.axes[0]} | " + " | ".join(f"{name}, MB" for name in result.memory) + " |"]
    lines.append("| ---: |" + " ---: |" * len(result.memory))
    for number, size in enumerate(sizes):
        cells = [f"{points[number][1]:.0f}" for points in result.memory.values()]
        lines.append(f"| {size:,.0f} | " + " | ".join(cells) + " |")
    return "The most that each service took meanwhile, by PSS:\n\n" + "\n".join(lines)


def keep(name: str, result: Result, machine: dict[str, str]) -> None:
    """Write bench/results/NAME.json and NAME.md."""
    RESULTS.mkdir(exist_ok=True)
    parts = [result.text.strip()]
    if result.memory:
        parts.append(memory_table(result))
    if result.bends:
        parts.append(f"What bends the curves: {result.bends}")
    if result.why and not all(reach.held for reach in result.reaches):
        parts.append(f"What keeps the rest from being held: {result.why}")
    (RESULTS / f"{name}.md").write_text("\n\n".join(parts) + "\n")
    kept = {"machine": machine, "reaches": [asdict(reach) for reach in result.reaches]}
    kept |= {"axes": result.axes, "lines": result.lines, "memory": result.memory}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def write() -> None:
    """Draw the plots, and write RESULTS.md anew."""
    # Only the clients' environment has matplotlib.
    subprocess.run([ROOT / "training/.venv/bin/python", ROOT / "bench/plot.py"], check=True)
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    rows = [f"| {name} | {Reach(**reach)} |" for name, found in kept.items() for reach in found["reaches"]]
    parts = [HEAD + "\n".join(rows)]
    for name, found in kept.items():
        measured = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
        parts.append(f"## {name}\n\nMeasured {measured}.\n\n{(RESULTS / f'{name}.md').read_text().strip()}")
        if (RESULTS / f"{name}.png").exists():
            drawn = found["axes"][1] + (" and memory" if found.get("memory") else "")
            parts[-1] += f"\n\n![{drawn} against {found['axes'][0]}](results/{name}.png)"
    parts += [path.read_text().strip() for path in [RESULTS / "by-hand.md"] if path.exists()]
    Path(ROOT / "bench/RESULTS.md").write_text("\n\n".join(parts) + "\n")
