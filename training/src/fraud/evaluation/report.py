"""The page of a comparison: one HTML file with its pictures inside, to send to a colleague."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from string import Template

from fraud import __version__
from fraud.data.dataset import Dataset
from fraud.data.schema import LABEL, TIME
from fraud.data.split import Split
from fraud.models.fitting import Fitted
from fraud.tracking.runs import Options

HEADS = {
    "roc_auc": "ROC AUC", "precision_at_100": "top 100", "precision": "precision",
    "recall": "recall", "mcc": "MCC", "f1": "F1", "brier": "Brier", "threshold": "threshold",
}  # fmt: skip


def table(heads: list[str], rows: list[list[str]], classes: list[str] | None = None) -> str:
    """An HTML table; `classes` has one class per row."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = ""
    for row, name in zip(rows, classes or [""] * len(rows), strict=True):
        body += f'<tr class="{name}">' + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        body += "</tr>\n"
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def number(value: float | None) -> str:
    """Three decimals, three digits for what is smaller, a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:.3f}" if value >= 0.01 or value == 0 else f"{value:.2g}"


def results(models: list[Fitted]) -> str:
    """The models, the best first, with a bar for the interval of each."""
    rows = []
    for model in models:
        m = model.metrics
        numbers = [number(m.get(key)) for key in HEADS]
        rows.append(
            [model.recipe.name, f"{m['valid_average_precision']:.3f}", str(model.interval)]
            + numbers
            + [f"{1000 * m['expected_cost']:.1f}", f"{m['fit_seconds']:.1f}"]
        )
    heads = ["model", "validation", "test [95 %]", *HEADS.values()]
    heads += ["cost / 1,000", "fit, s"]
    return table(heads, rows, ["best"] + [""] * (len(models) - 1))


def parts_table(parts: Split) -> str:
    """The three parts: rows, frauds, hours."""
    rows = []
    for name, part in (
        ("training", parts.train),
        ("validation", parts.valid),
        ("test", parts.test),
    ):
        frauds, hours = int(part[LABEL].sum()), part[TIME] / 3600
        span = f"{hours.min():.1f} to {hours.max():.1f}"
        rows.append([name, f"{len(part):,}", f"{frauds:,}", f"{frauds / len(part):.2%}", span])
    return table(["part", "rows", "frauds", "share", "hours"], rows)


def image(content: bytes, alt: str) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def report(
    models: list[Fitted], parts: Split, dataset: Dataset, options: Options,
    pictures: dict[str, bytes], link: str,
) -> bytes:  # fmt: skip
    """The page, as UTF-8.

    Args:
        models: the best first.
        pictures: PNG by title; the first are of the comparison, the last of the best model.
        link: to the run on the tracking server.
    """
    manifest, best = dataset.manifest, models[0]
    warning = "The data are synthetic: the numbers say nothing about real cards."
    page = Template(files("fraud.evaluation").joinpath("report.html").read_text("utf-8"))
    filled = page.substitute(
        profile=escape(options.profile),
        made=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        version=__version__,
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
    return filled.encode()
