"""A PNG for each subject that shows growth; with training/.venv, which has matplotlib."""

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

for path in sorted((Path(__file__).parent / "results").glob("*.json")):
    kept = json.loads(path.read_text())
    if not kept["lines"]:
        continue
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, points in kept["lines"].items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xlabel=kept["axes"][0], ylabel=kept["axes"][1], xscale="log", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path.with_suffix(".png"), dpi=90, metadata={"Software": None})
    plt.close(figure)
