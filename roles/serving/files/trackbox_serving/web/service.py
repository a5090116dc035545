"""The objects that all requests of a process share, and the scoring of rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trackbox_serving.bodies.json_rows import Reader
from trackbox_serving.drift.counting import Counts
from trackbox_serving.log.batches import Batches
from trackbox_serving.log.labels import LabelWriter
from trackbox_serving.log.rows import Entry, Rows
from trackbox_serving.log.writer import Writer
from trackbox_serving.models.scorer import Matrix, Scorer
from trackbox_serving.settings import Settings
from trackbox_serving.version import About, Version
from trackbox_serving.web import metrics
from trackbox_serving.web.answers import RefusedError

T = TypeVar("T")

#: A body up to this size is scored in the event loop if the model scores a row within INLINE_SECONDS, because passing
#: it to a thread costs 0.1 ms. Larger bodies are scored one after the other in one thread.
INLINE_BYTES = 16 << 10
INLINE_SECONDS = 0.003


@dataclass
class Scored:
    """Rows and their scores.

    Attributes:
        output: output of the model, (n, …).
        features: matrix (n, k) in the signature's column order, or what MLflow has parsed.
        count: number of rows n.

    """

    output: Any
    features: Any
    count: int

    @property
    def scores(self) -> NDArray[np.float64] | None:
        """The n scores: the output or its last column (P(fraud) of a classifier), or None if they are not numbers."""
        values = self.output
        if isinstance(values, pd.DataFrame):
            values = values.iloc[:, -1] if values.shape[1] else values
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            return None
        if array.ndim == 2 and array.shape[1]:
            array = array[:, -1]
        return array if array.shape == (self.count,) else None


@dataclass
class Service:
    """One version, as one process serves it.

    Attributes:
        settings: settings of all models.
        about: description of the version.
        scorer: loaded model of the version.
        quick: whether the model scores one row fast enough for the event loop.
        counts: counts of rows in the bins of the model's reference profile. None if there is no profile.
        writer: thread that writes the request log, and counts rows. None before `start`, or if neither is needed.
        labels: writer of the labels that clients send. None before `start`, and if there is no log.
        waiting: number of requests that have begun and are not answered.

    """

    settings: Settings
    about: About
    scorer: Scorer
    quick: bool = False
    counts: Counts | None = None
    writer: Batches | None = None
    labels: LabelWriter | None = None
    waiting: int = 0
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "compute"))
    reader: Reader | None = None

    def __post_init__(self) -> None:
        if self.scorer.predict:
            self.reader = Reader(self.scorer.columns)

    def warm_up(self) -> None:
        """Score rows before the fork, because a library's first call is slow, and no request should wait for it."""
        if not self.scorer.predict:
            return
        row = np.zeros((1, len(self.scorer.columns)))
        taken = []
        for _ in range(20):
            begin = time.perf_counter()
            self.scorer.predict(row)
            taken.append(time.perf_counter() - begin)
        self.quick = float(np.median(taken)) < INLINE_SECONDS

    def start(self) -> None:
        """Start the threads of this process. Call this method after the fork."""
        watch = None
        if self.counts:
            self.counts.claim()
            watch = self.counts.count
        if self.settings.log != "off":
            version = Version(self.settings, self.about.name, self.about.version)
            columns = self.scorer.columns if self.settings.log == "all" else []
            rows = Rows(columns, self.about.version, self.about.threshold)
            self.writer = Writer(version.log, rows, self.settings.log_queue, self.settings.replay_rows, watch)
            self.labels = LabelWriter(version.log, self.settings.log_queue)
            self.labels.start()
        elif watch:
            self.writer = Batches(self.settings.log_queue, watch)
        if self.writer:
            self.writer.start()

    def stop(self) -> None:
        """End the threads. Afterwards all scored rows are in closed files of the log."""
        self.pool.shutdown()
        for writer in filter(None, (self.writer, self.labels)):
            writer.stop()

    async def run(self, work: Callable[[], T], size: int) -> T:
        """Run a function in the event loop, or in the thread if it may take long. `size` is the size of the body."""
        if self.quick and size <= INLINE_BYTES:
            return work()
        return await self.in_thread(work)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run a function in the thread for computing."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def score(self, matrix: Matrix | None) -> Scored | None:
        """Score rows on the fast path, or return None if MLflow's functions must score them or report the error.

        Raise RefusedError if there are too many rows.
        """
        if matrix is None or not self.scorer.predict:
            return None
        self.check_count(len(matrix))
        try:
            output = self.scorer.predict(matrix)
        except Exception:
            return None
        metrics.ROWS.labels("fast").inc(len(matrix))
        return Scored(output, matrix, len(matrix))

    def check_count(self, rows: int) -> None:
        """Raise RefusedError if these are more rows than a request may have."""
        if rows > self.settings.max_rows:
            metrics.REFUSED.labels("rows").inc()
            raise RefusedError(
                413, f"The body has more than {self.settings.max_rows} rows (max_rows), the limit of a request."
            )

    def log(self, scored: Scored, request_id: str, user: str, began: float) -> None:
        """Log scored rows. `began` is the time.perf_counter() at the start of the request."""
        if self.writer and scored.count:
            latency = (time.perf_counter() - began) * 1000
            self.writer.add(
                Entry(request_id, time.time_ns(), user, latency, scored.features, scored.scores, scored.count)
            )

    def decisions(self, scored: Scored) -> list[int | None] | None:
        """Return 1 for each flagged row and 0 for the others, or None if a threshold or scores are missing."""
        scores, threshold = scored.scores, self.about.threshold
        if scores is None or threshold is None:
            return None
        return [None if np.isnan(score) else int(score >= threshold) for score in scores]
