"""For each subject with curves, draw a PNG of its time and memory curves. Run it with the Python of training/.venv."""

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

for path in sorted((Path(__file__).parent / "results").glob("*.json")):
    kept = json.loads(path.read_text())
    panels = {kept["axes"][1]: kept["lines"], "peak PSS, MB": kept.get("memory")}
    drawn = {label: lines for label, lines in panels.items() if lines}
    if not drawn:
        continue
    figure, all_axes = plt.subplots(1, len(drawn), figsize=(5 * len(drawn), 3.6), layout="constrained", squeeze=False)
    for axes, (label, lines) in zip(all_axes[0], drawn.items(), strict=True):
        for name, points in lines.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set(xlabel=kept["axes"][0], ylabel=label, xscale="log", ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(path.with_suffix(".png"), dpi=90, metadata={"Software": None})
    plt.close(figure)
