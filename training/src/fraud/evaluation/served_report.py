"""The report of `fraud evaluate`: one HTML file that contains its pictures."""

from __future__ import annotations

from html import escape

from fraud.evaluation.report import fill, image, table
from fraud.evaluation.served import Counted
from fraud.types import Difference, Evaluation, Interval, Served

HEADS = [
    "rows",
    "labelled",
    "share",
    "flagged",
    "frauds",
    "caught",
    "precision [95 %]",
    "recall [95 %]",
]


def cells(its: Served) -> list[str]:
    """The cells of a table row, in the order of `HEADS`."""
    share = f"{its.labelled / its.rows:.2%}" if its.rows else "–"
    counts = [f"{value:,}" for value in (its.flagged, its.frauds, its.caught)]
    return [
        f"{its.rows:,}",
        f"{its.labelled:,}",
        share,
        *counts,
        text(its.precision),
        text(its.recall),
    ]


def text(value: Interval | None) -> str:
    """A share with its interval, or a dash."""
    return str(value) if value else "–"


def days_table(counted: Counted) -> str:
    """The table of versions and days, the newest day first."""
    lines = [[f"{day:%Y-%m-%d}", its.title, *cells(its)] for day, its in reversed(counted.by_day())]
    return table(["day", "", *HEADS], lines)


def challengers(found: tuple[Difference, ...]) -> str:
    """The report's section on challengers as HTML; empty if there are none."""
    if not found:
        return ""
    lines = [
        [
            f"version {one.version}", f"version {one.against}", f"{one.rows:,}", f"{one.changed:,}",
            f"{one.newly_flagged:,}", number(one.mean), number(one.largest),
        ]
        for one in found
    ]  # fmt: skip
    heads = [
        "challenger",
        "live",
        "rows",
        "changed decisions",
        "newly flagged",
        "mean difference",
        "largest",
    ]
    return f'<h2>Challengers</h2>\n<div class="wide">{table(heads, lines)}</div>'


def number(value: float | None) -> str:
    """A difference of scores, or a dash."""
    return "–" if value is None else f"{value:.3g}"


def report(its: Evaluation, counted: Counted, pictures: dict[str, bytes], time_zone: str) -> bytes:
    """The report as HTML in UTF-8. pictures: maps each title to a PNG."""
    first, last = counted.span
    return fill(
        "served.html",
        model=escape(its.model),
        link=escape(its.link),
        first=f"{first:%Y-%m-%d}",
        last=f"{last:%Y-%m-%d}",
        time_zone=escape(time_zone),
        notes="".join(f'<p class="warning">{escape(note)}</p>' for note in its.notes),
        versions=table(["", *HEADS], [[one.title, *cells(one)] for one in its.versions]),
        challengers=challengers(its.differences),
        days=days_table(counted),
        pictures="\n".join(image(content, title) for title, content in pictures.items()),
    )
