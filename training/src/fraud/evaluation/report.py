"""The report of a comparison: one HTML file that contains its pictures."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from string import Template

from fraud import __version__
from fraud.data.schema import LABEL, TIME
from fraud.types import Context, Fitted, Split

#: Columns of the results table: the metric and its heading.
HEADS = {
    "roc_auc": "ROC AUC", "precision_at_100": "top 100", "precision": "precision",
    "recall": "recall", "mcc": "MCC", "f1": "F1", "brier": "Brier", "threshold": "threshold",
}  # fmt: skip


def table(heads: list[str], rows: list[list[str]], classes: list[str] | None = None) -> str:
    """An HTML table; `classes` has one CSS class per row."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = ""
    for row, name in zip(rows, classes or [""] * len(rows), strict=True):
        body += f'<tr class="{name}">' + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        body += "</tr>\n"
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def number(value: float | None) -> str:
    """A number with three decimals, or with two digits if it is below 0.01; a dash for None."""
    if value is None:
        return "–"
    return f"{value:.3f}" if value >= 0.01 or value == 0 else f"{value:.2g}"


def results(models: list[Fitted]) -> str:
    """The table of the models' metrics; `models` is ordered best first."""
    rows = []
    for model in models:
        m = model.metrics
        rows.append(
            [model.recipe.name, f"{m['valid_average_precision']:.3f}", str(model.interval)]
            + [number(m.get(key)) for key in HEADS]
            + [f"{1000 * m['expected_cost']:.1f}", f"{m['fit_seconds']:.1f}"]
        )
    heads = ["model", "validation", "test [95 %]", *HEADS.values(), "cost / 1,000", "fit, s"]
    return table(heads, rows, ["best"] + [""] * (len(models) - 1))


def parts_table(parts: Split) -> str:
    """The table of the three parts: rows, frauds, hours."""
    rows = []
    named = {"training": parts.train, "validation": parts.valid, "test": parts.test}
    for name, part in named.items():
        frauds, hours = int(part[LABEL].sum()), part[TIME] / 3600
        span = f"{hours.min():.1f} to {hours.max():.1f}"
        rows.append([name, f"{len(part):,}", f"{frauds:,}", f"{frauds / len(part):.2%}", span])
    return table(["part", "rows", "frauds", "share", "hours"], rows)


def image(content: bytes, alt: str) -> str:
    """A PNG as an HTML element."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def fill(name: str, **values: object) -> bytes:
    """Fill a template, and return the page as UTF-8.

    Args:
        name: file name of the template, in this folder.
        values: HTML for each placeholder; this function adds style, time and version.

    """
    folder = Path(__file__).parent
    page = Template(folder.joinpath(name).read_text("utf-8"))
    style = folder.joinpath("report.css").read_text("utf-8")
    made = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    return page.substitute(values, style=style, made=made, version=__version__).encode()


def report(models: list[Fitted], pictures: dict[str, bytes], context: Context, link: str) -> bytes:
    """The report of a comparison, as HTML in UTF-8.

    Args:
        models: results of all models, best first.
        pictures: maps each title to a PNG, in the order of the page.
        context: input of the comparison.
        link: page of the comparison's run in MLflow.

    """
    options, parts, manifest = context.options, context.parts, context.dataset.manifest
    best = models[0]
    warning = "The data are synthetic: the numbers say nothing about real cards."
    return fill(
        "report.html",
        profile=escape(options.profile),
        link=escape(link),
        warning=f'<p class="warning">{warning}</p>' if manifest.kind == "synthetic" else "",
        source=escape(manifest.source),
        hash=manifest.hash,
        best=escape(best.recipe.name),
        interval=str(best.interval),
        caught=f"{best.metrics['recall']:.0%}",
        right=f"{best.metrics['precision']:.0%}",
        cost=f"{1000 * best.metrics['expected_cost']:.1f}",
        nothing=f"{1000 * options.cost.fn * parts.test[LABEL].mean():.1f}",
        cost_fn=f"{options.cost.fn:g}",
        cost_fp=f"{options.cost.fp:g}",
        split=options.split,
        seed=options.seed,
        results=results(models),
        parts=parts_table(parts),
        pictures="\n".join(image(content, title) for title, content in pictures.items()),
    )
