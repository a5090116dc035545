"""bench/RESULTS.md, from what each subject left in bench/results."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from harness import RESULTS, ROOT, SERVER, Bench

HEAD = """# Results

`make bench` measures an installation and writes this; `make bench ONLY=log_metric` one subject. Peers run in the same
machine and take turns; figures are medians of several rounds, and what counts is their ratio.

| subject | figure | is | shall be | |
| --- | --- | ---: | ---: | --- |
"""


def machine(bench: Bench) -> dict[str, str]:
    """The machine that was measured, the day, and the versions."""
    asked = {
        "cpu": "nproc; sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1",
        "memory": "free -g | awk '/Mem/ {print $2 \" GB\"}'",
        "kernel": "uname -r",
        "system": ". /etc/os-release; echo $PRETTY_NAME",
        "mlflow": f"{SERVER}/python -c 'import importlib.metadata as m; print(m.version(\"mlflow\"))'",
        "database": "mysql --version | sed 's/.*Ver //'",
        "nginx": "nginx -v 2>&1 | sed 's/.*\\///'",
    }
    return {"day": time.strftime("%Y-%m-%d")} | {key: " ".join(bench.ssh(ask).split()) for key, ask in asked.items()}


def line(reach: dict[str, Any]) -> str:
    """A reach as the cells of a row."""
    sign = "≥" if reach["at_least"] else "≤"
    held = "held" if reach["held"] else "**not held**"
    note = f": {reach['note']}" if reach["note"] else ""
    unit = reach["unit"]
    return f"{reach['what']} | {reach['value']:.2f} {unit} | {sign} {reach['limit']:g} {unit} | {held}{note}"


def write() -> None:
    """Write RESULTS.md anew."""
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    rows = [f"| {name} | {line(reach)} |" for name, found in kept.items() for reach in found["reaches"]]
    parts = [HEAD + "\n".join(rows)]
    for name, found in kept.items():
        measured = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
        parts.append(f"## {name}\n\nMeasured {measured}.\n\n{(RESULTS / f'{name}.md').read_text().strip()}")
        if (RESULTS / f"{name}.png").exists():
            parts[-1] += f"\n\n![{found['axes'][1]} against {found['axes'][0]}](results/{name}.png)"
    parts += [path.read_text().strip() for path in [RESULTS / "by-hand.md"] if path.exists()]
    Path(ROOT / "bench/RESULTS.md").write_text("\n\n".join(parts) + "\n")
