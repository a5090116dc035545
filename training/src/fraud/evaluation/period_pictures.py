"""The pictures of `fraud monitor`: stability indices, scores, shares, flagged rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from fraud.evaluation import stability
from fraud.evaluation.period import VersionTraffic
from fraud.evaluation.pictures import FRAUD_COLOUR, LINE_COLOUR, ORDINARY_COLOUR, logarithmic, new
from fraud.evaluation.served_pictures import label_days
from fraud.types import Interval, Monitored

#: Maximum number of features in the picture of indices.
MOST = 20


def indices(its: Monitored) -> Figure:
    """The stability index of each feature and of the score, with its noise and the limit."""
    shown = its.changes[:MOST][::-1]
    title = f"Version {its.version}: difference from the training"
    figure = new(
        title, "population stability index (log scale)", "", (6.4, 1.4 + 0.22 * len(shown))
    )
    axes = figure.axes[0]
    places = np.arange(len(shown))
    colours = [FRAUD_COLOUR if one.drifted else ORDINARY_COLOUR for one in shown]
    axes.barh(places, [one.index for one in shown], color=colours, height=0.7)
    axes.plot([one.noise for one in shown], places, "|", color=LINE_COLOUR, ms=9, label="noise")
    logarithmic(axes, y=False)
    axes.set_xlim(left=1e-3)
    axes.axvline(stability.LIMIT, color=LINE_COLOUR, ls="--", lw=1, label=f"{stability.LIMIT}")
    # "$" begins a formula in Matplotlib's texts.
    axes.set_yticks(places, [one.name[:30].replace("$", "\\$") for one in shown], fontsize=8)
    axes.legend(frameon=False, loc="lower right")
    return figure


def scores(its: Monitored, reference: stability.Reference, bins: np.ndarray) -> Figure:
    """The shares of the scores in the bins of the reference, in the period and in training."""
    title = f"Version {its.version}: scores"
    figure = new(title, "scores up to", "share of the rows", (8.6, 3.6))
    axes = figure.axes[0]
    names = [f"{edge:.3g}" for edge in reference.edges] + ["above", "missing"]
    places = np.arange(len(names))
    axes.bar(places - 0.2, reference.shares, 0.4, color="#b0b0b0", label="training")
    axes.bar(places + 0.2, bins / max(bins.sum(), 1), 0.4, color=ORDINARY_COLOUR, label="now")
    axes.set_xticks(places, names, rotation=45, ha="right", fontsize=8)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def precision_recall(versions: Sequence[Monitored]) -> Figure:
    """Estimated and real precision and recall of each version; the bars are 95 % intervals."""
    figure = new("Precision and recall", "", "share", (max(6.4, 2 + 1.6 * len(versions)), 4.0))
    axes = figure.axes[0]
    ticks: list[str] = []
    seen: set[str] = set()
    for one in versions:
        for name, estimated, before in (
            ("precision", one.precision, one.precision_before),
            ("recall", one.recall, one.recall_before),
        ):
            place = len(ticks)
            ticks.append(f"{name}\nversion {one.version}")
            known: list[tuple[str, Interval | None, float, str]] = [
                ("estimated", estimated, -0.12, ORDINARY_COLOUR),
                ("by labels", one.real.shares.get(name), 0.12, FRAUD_COLOUR),
            ]
            for label, share, shift, colour in known:
                if share:
                    axes.errorbar(
                        place + shift, share.value, marker="o", ms=5, lw=1.2, color=colour,
                        yerr=[[share.value - share.low], [share.high - share.value]],
                        label=None if label in seen else label,
                    )  # fmt: skip
                    seen.add(label)
            if before is not None:
                label = "in training"
                axes.plot(
                    place, before, "_", ms=26, color=LINE_COLOUR,
                    label=None if label in seen else label,
                )  # fmt: skip
                seen.add(label)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_ylim(0, 1.03)
    axes.set_xlim(-0.6, len(ticks) - 0.4)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def flagged_by_day(found: Sequence[VersionTraffic]) -> Figure:
    """The share of flagged rows of each version by day, with the share in training."""
    figure = new("Flagged rows by day", "", "share of the rows", (8.6, 3.6))
    axes = figure.axes[0]
    every = []
    for number, traffic in enumerate(found):
        colour = colormaps["tab10"](number % 10)
        daily = traffic.daily[traffic.daily["decided"] > 0]
        every += list(traffic.daily.index)
        days = [day.toordinal() for day in daily.index]
        share = daily["flagged"] / daily["decided"]
        axes.plot(days, share, "o-", ms=4, color=colour, label=f"version {traffic.version}")
        if traffic.profile:
            axes.axhline(traffic.profile.flagged, color=colour, ls=":", lw=1, label="in training")
    axes.set_ylim(bottom=0)
    label_days(axes, min(every), max(every))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
