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
    """What a subject found: its reaches, a text in Markdown, and lines to plot (name to points)."""

    reaches: list[Reach]
    text: str
    axes: tuple[str, str] = ("", "")
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where they go."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def keep(name: str, result: Result, machine: dict[str, str]) -> None:
    """Write bench/results/NAME.json and NAME.md."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(result.text.strip() + "\n")
    kept = {"machine": machine, "reaches": [asdict(reach) for reach in result.reaches]}
    kept |= {"axes": result.axes, "lines": result.lines}
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
            parts[-1] += f"\n\n![{found['axes'][1]} against {found['axes'][0]}](results/{name}.png)"
    parts += [path.read_text().strip() for path in [RESULTS / "by-hand.md"] if path.exists()]
    Path(ROOT / "bench/RESULTS.md").write_text("\n\n".join(parts) + "\n")
