"""The pictures that compare all models of a comparison on the test part.

In every function, `labels` are the (n,) labels 0 and 1 of the rows of `Fitted.scores`.
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fraud.evaluation.bootstrap import resample
from fraud.evaluation.metrics import cost_curve, wilson
from fraud.evaluation.pictures import LINE_COLOUR, logarithmic, new
from fraud.types import Cost, Fitted

#: (101,) recalls at which precision is drawn.
RECALL = np.linspace(0, 1, 101)


def colours(models: list[Fitted]) -> list[tuple[float, ...]]:
    """A colour for each model, the same in every picture."""
    return [colormaps["tab10"](number % 10) for number in range(len(models))]


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def precision_at(frauds: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Precision of B resamples at the recalls of `RECALL`.

    Args:
        frauds, others: (B, k) counts per cell, from `fraud.evaluation.bootstrap.resample`.

    Returns:
        (B, 101): the best precision at that recall or above.

    """
    found = np.cumsum(frauds, axis=1)
    flagged = np.maximum(found + np.cumsum(others, axis=1), 1)
    best = np.maximum.accumulate((found / flagged)[:, ::-1], axis=1)[:, ::-1]
    rows = [
        precision[np.minimum(np.searchsorted(hits / hits[-1], RECALL - 1e-12), len(precision) - 1)]
        for hits, precision in zip(found, best, strict=True)
    ]
    return np.array(rows)


def precision_recall(labels: np.ndarray, models: list[Fitted], seed: int) -> Figure:
    """Precision against recall: medians and 95 % bands of 300 resamples."""
    figure = new("Precision and recall, with 95 % bands", "recall", "precision", (8.6, 4.8))
    axes = figure.axes[0]
    for model, colour in zip(models, colours(models), strict=True):
        sampled = precision_at(*resample(labels, model.scores, seed, count=300))
        low, middle, high = np.quantile(sampled, [0.025, 0.5, 0.975], axis=0)
        label = f"{model.recipe.name}  {model.interval}"
        axes.plot(RECALL, middle, color=colour, label=label)
        axes.fill_between(RECALL, low, high, color=colour, alpha=0.13, lw=0)
    axes.axhline(labels.mean(), color=LINE_COLOUR, ls=":", lw=1)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    _legend(axes)
    return figure


def calibration(labels: np.ndarray, models: list[Fitted]) -> Figure:
    """Observed against predicted share of frauds, on log scales; the bars are 95 % intervals.

    Models whose scores are not probabilities are left out.
    """
    figure = new("Calibration", "predicted share of frauds", "observed share", (8.6, 4.8))
    axes = figure.axes[0]
    edges = np.geomspace(1e-4, 1.0001, 9)
    axes.plot([1e-4, 1], [1e-4, 1], color=LINE_COLOUR, ls=":", lw=1)
    for model, colour in zip(models, colours(models), strict=True):
        if not model.recipe.probability:
            continue
        bin_of = np.digitize(model.scores, edges)
        points = []
        for number in range(1, len(edges)):
            inside = bin_of == number
            frauds, rows = labels[inside].sum(), inside.sum()
            if frauds:
                points.append((model.scores[inside].mean(), *wilson(frauds, rows)))
        if points:
            x, y, low, high = np.array(points).T
            axes.errorbar(
                x, y, yerr=[y - low, high - y], color=colour, marker="o", ms=4, lw=1.2,
                elinewidth=0.8, label=model.recipe.name,
            )  # fmt: skip
    logarithmic(axes)
    axes.set_ylim(5e-5, 1.4)
    _legend(axes)
    return figure


def costs(labels: np.ndarray, models: list[Fitted], cost: Cost) -> Figure:
    """Cost per 1,000 transactions against the threshold; a dot marks the chosen threshold."""
    figure = new(
        f"Cost (missed fraud {cost.fn:g}, false alarm {cost.fp:g})",
        "threshold", "cost per 1,000 transactions", (8.6, 4.8),
    )  # fmt: skip
    axes = figure.axes[0]
    nothing = 1000 * cost.fn * labels.mean()
    axes.axhline(nothing, color=LINE_COLOUR, ls=":", lw=1, label="flag nothing")
    for model, colour in zip(models, colours(models), strict=True):
        cuts, values = cost_curve(labels, model.scores, cost)
        keep = np.unique(np.geomspace(1, len(cuts), 1500).astype(int) - 1)
        axes.step(cuts[keep], 1000 * values[keep], color=colour, label=model.recipe.name)
        axes.plot(
            model.threshold, 1000 * model.metrics["expected_cost"], "o", color=colour, mec="white"
        )
    logarithmic(axes, y=False)
    axes.set_xlim(3e-4, 1.1)
    axes.set_ylim(0, 1.6 * nothing)
    _legend(axes)
    return figure
