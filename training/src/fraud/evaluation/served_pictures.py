"""The pictures of `fraud evaluate`: precision, recall and rows by day; score differences."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fraud.evaluation.pictures import ORDINARY_COLOUR, logarithmic, new
from fraud.evaluation.served import Counted


def share_by_day(counted: Counted, name: str) -> Figure:
    """A share (`precision` or `recall`) of each version by day; the bars are 95 % intervals."""
    figure = new(f"{name.capitalize()} by day of prediction", "", name, (8.6, 4.0))
    axes = figure.axes[0]
    by_day = counted.by_day()
    for number, version in enumerate(counted.versions):
        points = [
            (day.toordinal(), share.value, share.low, share.high)
            for day, its in by_day
            if its.version == version and (share := its.shares.get(name))
        ]
        if points:
            days, y, low, high = map(np.array, zip(*points, strict=True))
            # Shift each version a little, so that intervals on the same day do not overlap.
            x = days + 0.08 * number
            axes.errorbar(
                x, y, yerr=[y - low, high - y], marker="o", ms=4, lw=1.2, elinewidth=0.8,
                color=colormaps["tab10"](number % 10), label=counted.total(version).title,
            )  # fmt: skip
    axes.set_ylim(0, 1.03)
    label_days(axes, *counted.span)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def label_days(axes: Axes, first: date, last: date) -> None:
    """Label the x axis with at most eight dates. Its values are those of `date.toordinal()`."""
    step = max(1, -(-(last.toordinal() - first.toordinal() + 1) // 8))
    ticks = list(range(first.toordinal(), last.toordinal() + 1, step))
    axes.set_xticks(ticks, [f"{date.fromordinal(tick):%d %b}" for tick in ticks])


def rows_by_day(counted: Counted) -> Figure:
    """Rows that versions scored for clients, and rows with a label, by day."""
    figure = new("Rows and labels by day of prediction", "", "rows (log scale)", (8.6, 3.4))
    axes = figure.axes[0]
    of_clients = counted.days[~counted.days.index.isin(counted.challengers, level="version")]
    sums = of_clients.groupby("day")[["rows", "labelled"]].sum()
    x = [day.toordinal() for day in sums.index]
    axes.bar(x, sums["rows"], color=ORDINARY_COLOUR, alpha=0.35, label="scored")
    axes.bar(x, sums["labelled"], color=ORDINARY_COLOUR, label="with a label")
    logarithmic(axes, x=False)
    axes.set_ylim(bottom=0.7)
    label_days(axes, *counted.span)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def score_differences(shadow: pd.DataFrame) -> Figure:
    """Histograms of the challenger's score minus the live version's score."""
    figure = new(
        "Score of the challenger less that of the live version", "difference", "rows", (6.4, 3.4)
    )
    axes = figure.axes[0]
    for (version, against), part in shadow.groupby(["version", "live_version"]):
        apart = (part["score"] - part["live_score"]).dropna()
        if len(apart):
            axes.hist(apart, bins=60, alpha=0.6, label=f"version {version} less {against}")
    logarithmic(axes, x=False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    return figure
