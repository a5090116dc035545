"""The pictures of one model. Each function returns a new figure."""

from __future__ import annotations

import io
from threading import Lock

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

ORDINARY_COLOUR, FRAUD_COLOUR, LINE_COLOUR = "#4878a8", "#c8503c", "#303030"

#: Only one thread draws at a time, because Matplotlib is not thread-safe.
_DRAWING = Lock()


def png(figure: Figure) -> bytes:
    """Render a figure as PNG at 110 dots per inch."""
    buffer = io.BytesIO()
    with _DRAWING:
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def new(title: str, xlabel: str, ylabel: str, size: tuple[float, float] = (6.4, 4.4)) -> Figure:
    """An empty figure with one pair of axes; `size` is in inches."""
    figure = Figure(figsize=size)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def logarithmic(axes: Axes, x: bool = True, y: bool = True) -> None:
    """Set log scales with labels such as 0.01, because labels such as 10⁻² are slow to render."""
    for wanted, axis, scale in ((x, axes.xaxis, axes.set_xscale), (y, axes.yaxis, axes.set_yscale)):
        if wanted:
            scale("log")
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())


def confusion_matrix(labels: np.ndarray, flagged: np.ndarray, title: str) -> Figure:
    """The confusion matrix of (n,) labels and (n,) decisions; percentages are of each row."""
    sides = (0, 1)
    counts = np.array([[np.sum((labels == a) & (flagged == b)) for b in sides] for a in sides])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new(f"{title}: decisions on the test part", "decision", "truth", (4.6, 4.2))
    axes = figure.axes[0]
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks([0, 1], ["let pass", "flagged"])
    axes.set_yticks([0, 1], ["ordinary", "fraud"], rotation=90, va="center")
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count:,}\n{share[row, column]:.2%}"
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    return figure


def score_histogram(labels: np.ndarray, scores: np.ndarray, threshold: float, title: str) -> Figure:
    """Histograms of the (n,) scores of frauds and of other rows, with the threshold."""
    floor = 1e-5
    shown = np.clip(scores, floor, None)
    low, high = min(shown.min(), threshold), max(shown.max(), threshold)
    bins = list(np.geomspace(max(low, floor) * 0.95, high * 1.05, 50))
    figure = new(f"{title}: scores on the test part", "score", "rows (log scale)")
    axes = figure.axes[0]
    for label, name, colour in ((0, "ordinary", ORDINARY_COLOUR), (1, "fraud", FRAUD_COLOUR)):
        axes.hist(shown[labels == label], bins=bins, alpha=0.65, label=name, color=colour)
    axes.axvline(threshold, color=LINE_COLOUR, ls="--", label=f"threshold {threshold:.3g}")
    logarithmic(axes, x=high / low > 20)
    axes.legend(frameon=False, loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.14))
    return figure


def feature_importance(importance: pd.Series, title: str, count: int = 12) -> Figure:
    """A bar chart of the `count` features with the largest permutation importance."""
    top = importance.head(count)[::-1]
    figure = new(f"{title}: feature importance", "drop in average precision if shuffled", "")
    axes = figure.axes[0]
    axes.barh(list(top.index), top.to_numpy(), color=ORDINARY_COLOUR)
    axes.axvline(0, color=LINE_COLOUR, lw=0.8)
    return figure
