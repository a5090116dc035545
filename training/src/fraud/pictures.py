"""The pictures of one model. Every function returns a figure and draws on nothing else."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure


def confusion(labels: np.ndarray, flagged: np.ndarray, title: str) -> Figure:
    """The confusion matrix of decisions on the test part: rows are the truth, (2, 2)."""
    counts = np.array(
        [[np.sum((labels == truth) & (flagged == said)) for said in (0, 1)] for truth in (0, 1)]
    )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="decision", ylabel="truth")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks([0, 1], ["let pass", "flagged"])
    axes.set_yticks([0, 1], ["ordinary", "fraud"], rotation=90, va="center")
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count:,}\n{share[row, column]:.2%}"
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    return figure
