"""The report of `fraud monitor`: one HTML file that contains its pictures."""

from __future__ import annotations

from html import escape

from fraud.evaluation import stability
from fraud.evaluation.period_sentences import percent
from fraud.evaluation.report import fill, image, table
from fraud.evaluation.served_report import text
from fraud.types import Monitored, Monitoring

VERSIONS = [
    "version", "days", "requests", "rows", "flagged", "in training", "estimated precision",
    "in training", "by labels", "estimated recall", "in training", "by labels", "labelled",
]  # fmt: skip
CHANGES = [
    "column", "index", "noise", "what changed most", "now", "in training", "missing",
    "in training", "out of range", "in training",
]  # fmt: skip


def share(value: float | None, format_: str = "") -> str:
    """A share as a percentage or with the given format, or a dash."""
    if value is None:
        return "–"
    return format(value, format_) if format_ else percent(value)


def version_cells(its: Monitored) -> list[str]:
    """The cells of a version, in the order of `VERSIONS`."""
    return [
        its.version, its.first if its.first == its.last else f"{its.first} to {its.last}",
        f"{its.requests:,}", f"{its.rows:,}", share(its.flagged), share(its.flagged_before),
        text(its.precision), share(its.precision_before, ".3f"), text(its.real.precision),
        text(its.recall), share(its.recall_before, ".3f"), text(its.real.recall),
        f"{its.real.labelled:,}",
    ]  # fmt: skip


def changes_table(its: Monitored) -> str:
    """The section on the features of a version as HTML; empty without a reference profile."""
    if not its.changes:
        return ""
    lines = [
        [
            one.name, f"{one.index:.3f}", f"{one.noise:.3f}", one.words, percent(one.now),
            percent(one.before), percent(one.missing), percent(one.missing_before),
            percent(one.outside), percent(one.outside_before),
        ]
        for one in its.changes
    ]  # fmt: skip
    classes = ["drifted" if one.drifted else "" for one in its.changes]
    return (
        f"<h2>Version {escape(its.version)}: features and scores</h2>\n"
        f'<div class="wide">{table(CHANGES, lines, classes)}</div>\n'
        f'<p class="small">The population stability index is 0 if values are distributed as in '
        f"training; above {stability.LIMIT}, and above its noise, a column has drifted. The noise "
        f"is the index that as many rows like those of the training hardly exceed.</p>"
    )


def report(its: Monitoring, pictures: list[tuple[str, bytes]]) -> bytes:
    """The report as HTML in UTF-8. pictures: texts for who cannot see them, with PNGs."""
    lead = ""
    for one, said in zip(its.versions, its.sentences, strict=True):
        lead += f"<h2>Version {escape(one.version)}</h2>\n" if len(its.versions) > 1 else ""
        lead += f'<p class="lead">{escape(said[0])}</p>\n' if said else ""
        lead += "".join(f"<p>{escape(sentence)}</p>\n" for sentence in said[1:])
    return fill(
        "period.html",
        model=escape(its.model),
        link=escape(its.link),
        since=its.since,
        until=its.until,
        lead=lead,
        notes="".join(f'<p class="warning">{escape(note)}</p>' for note in its.notes),
        versions=table(VERSIONS, [version_cells(one) for one in its.versions]),
        changes="\n".join(map(changes_table, its.versions)),
        pictures="\n".join(image(content, alt) for alt, content in pictures),
    )
