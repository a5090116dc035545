"""The command line's output: progress on stderr, results on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from fraud.types import (
        Comparison,
        Dataset,
        Decision,
        Evaluation,
        Fitted,
        Interval,
        Manifest,
        Monitoring,
        Prediction,
    )

#: Width of tables in characters if stdout is no terminal.
WIDTH = 120


class Screen:
    """Print tables on stdout, and notes and progress on stderr; without a terminal, plain lines."""

    def __init__(self, quiet: bool = False) -> None:
        self.out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
        self.err = Console(stderr=True, soft_wrap=True, highlight=False, quiet=quiet)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """Print a line on stderr."""
        self.err.print(text, markup=False)

    def dataset(self, dataset: Dataset) -> None:
        """Print a description of the data set and its notes."""
        manifest = dataset.manifest
        share = manifest.frauds / manifest.rows
        self.note(
            f"Data {manifest.hash[:12]} ({manifest.kind}, {manifest.source}): "
            f"{manifest.rows:,} rows, {manifest.frauds:,} frauds ({share:.2%})"
        )
        for line in dataset.notes:
            self.note(line)

    @contextmanager
    def models(self, names: list[str]) -> Iterator[None]:
        """Show a progress bar for each model while the block runs."""
        if not self.err.is_terminal:
            yield
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<26}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.err, transient=True) as progress:
            self._progress = progress
            self._tasks = {
                name: progress.add_task(name, total=2, start=False, state="waiting")
                for name in names
            }
            try:
                yield
            finally:
                self._progress = None

    def doing(self, name: str, state: str) -> None:
        """Show that a model enters the state `fitting` or `storing`."""
        if self._progress:
            task = self._tasks[name]
            if state == "fitting":
                self._progress.start_task(task)
            else:
                self._progress.advance(task)
            self._progress.update(task, state=state)

    def done(self, name: str, fitted: Fitted) -> None:
        """Show that a model is fitted and stored."""
        text = (
            f"average precision {fitted.interval}, fitted in {fitted.metrics['fit_seconds']:.1f} s"
        )
        if self._progress:
            self._progress.update(self._tasks[name], completed=2, state=text)
            self._progress.stop_task(self._tasks[name])
        else:
            self.note(f"{name}: {text}")

    def comparison(self, comparison: Comparison) -> None:
        """Print the table of results, best model first, and the link to the comparison's run."""
        table = Table(
            box=SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            caption="Average precision: validation chooses, the test part says what to expect.",
        )
        table.add_column("model", no_wrap=True)
        for head in ("valid.", "test [95 %]", "precision", "recall", "cost/1k"):
            table.add_column(head, justify="right", no_wrap=True)
        for outcome in comparison.outcomes:
            m = outcome.metrics
            low, high = m["average_precision_low"], m["average_precision_high"]
            table.add_row(
                outcome.name,
                f"{m['valid_average_precision']:.3f}",
                f"{m['average_precision']:.3f} [{low:.3f}, {high:.3f}]",
                f"{m['precision']:.3f}",
                f"{m['recall']:.3f}",
                f"{1000 * m['expected_cost']:.1f}",
            )
        self.out.print(table)
        if comparison.kind == "synthetic":
            self.out.print("Synthetic data: the scores say nothing about real cards.")
        self.out.print(comparison.link, markup=False)

    def manifests(self, manifests: list[Manifest]) -> None:
        """Print the table of data sets."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for head in ("hash", "kind", "source", "pushed"):
            table.add_column(head)
        for head in ("rows", "frauds", "hours"):
            table.add_column(head, justify="right")
        for item in manifests:
            hours = (item.time_range[1] - item.time_range[0]) / 3600
            table.add_row(
                item.hash[:12], item.kind, item.source, item.pushed,
                f"{item.rows:,}", f"{item.frauds:,}", f"{hours:.1f}",
            )  # fmt: skip
        self.out.print(table if manifests else "No data set yet: `fraud data push FILE`.")

    def decision(self, decision: Decision) -> None:
        """Print the decision of `fraud promote`."""
        outcome = "is the champion now" if decision.promoted else "was not moved"
        version = f" (version {decision.version})" if decision.version else ""
        self.out.print(f"{decision.model}{version} {outcome}: {decision.reason}.", markup=False)
        for note in decision.notes:
            self.out.print(note, markup=False)

    @contextmanager
    def counting(self, what: str) -> Iterator[Callable[[int], None]]:
        """Yield a function that shows the current count if stderr is a terminal."""
        if not self.err.is_terminal:
            yield lambda count: None
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} " + what),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.err, transient=True) as progress:
            task = progress.add_task(what, total=None)
            yield lambda count: progress.update(task, completed=count)

    def prediction(self, result: Prediction) -> None:
        """Print the result of `fraud predict`."""
        share = result.flagged / result.rows
        self.out.print(
            f"{result.rows:,} rows scored by version {result.version}, {result.flagged:,} flagged "
            f"({share:.2%}, score at least {result.threshold:.3g}): {result.output}",
            markup=False,
        )

    def evaluation(self, result: Evaluation) -> None:
        """Print what `fraud evaluate` measured, and the link to its MLflow run."""

        def share(value: Interval | None) -> str:
            return str(value) if value else "–"

        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("version", no_wrap=True)
        for head in ("rows", "labelled", "frauds", "precision [95 %]", "recall [95 %]"):
            table.add_column(head, justify="right", no_wrap=True)
        for one in result.versions:
            name = f"{one.version} (challenger)" if one.challenger else one.version
            table.add_row(
                name, f"{one.rows:,}", f"{one.labelled:,}", f"{one.frauds:,}",
                share(one.precision), share(one.recall),
            )  # fmt: skip
        self.out.print(table)
        for each in result.differences:
            self.out.print(
                f"Version {each.version}, the challenger, changes {each.changed:,} decisions of "
                f"{each.rows:,} rows that version {each.against} scored."
            )
        for note in result.notes:
            self.out.print(note, markup=False)
        self.out.print(result.link, markup=False)

    def monitoring(self, result: Monitoring) -> None:
        """Print what `fraud monitor` found, a sentence a line, and the link."""
        for one, said in zip(result.versions, result.sentences, strict=True):
            self.out.print(
                f"Version {one.version}, {one.rows:,} rows in {one.requests:,} requests from "
                f"{one.first} to {one.last}:"
            )
            for sentence in said:
                self.out.print(f"  {sentence}", markup=False, soft_wrap=True)
        for note in result.notes:
            self.out.print(note, markup=False, soft_wrap=True)
        self.out.print(result.link, markup=False)
