"""What all requests of a process share, and the way from a body to scores."""

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
from trackbox_serving.log.labels import LabelWriter
from trackbox_serving.log.rows import Entry, Rows
from trackbox_serving.log.writer import Writer
from trackbox_serving.models.scorer import Matrix, Scorer
from trackbox_serving.settings import Settings
from trackbox_serving.version import About, Version
from trackbox_serving.web import metrics
from trackbox_serving.web.answers import RefusedError

T = TypeVar("T")

#: A body up to this size is answered in the event loop if the model scores a row within INLINE_SECONDS: to hand it
#: to a thread costs 0.1 ms. Larger ones are computed one after the other in one thread.
INLINE_BYTES = 16 << 10
INLINE_SECONDS = 0.003


@dataclass
class Scored:
    """Rows and their scores.

    Attributes:
        output: of the model, (n, …).
        features: (n, k) in the order of the signature, or what MLflow made of the body.
        count: n.

    """

    output: Any
    features: Any
    count: int

    @property
    def scores(self) -> NDArray[np.float64] | None:
        """(n,): the output, or its last column, which is P(fraud) of a classifier; None: these are no numbers."""
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
        settings: of all models.
        about: the version.
        scorer: its model.
        quick: whether the model scores one row fast enough for the event loop.
        writer: of the request log; None before `start`, and if there is no log.
        labels: writer of the labels that clients send; None as `writer`.
        waiting: requests that have begun and are not answered.

    """

    settings: Settings
    about: About
    scorer: Scorer
    quick: bool = False
    writer: Writer | None = None
    labels: LabelWriter | None = None
    waiting: int = 0
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "compute"))
    reader: Reader | None = None

    def __post_init__(self) -> None:
        if self.scorer.predict:
            self.reader = Reader(self.scorer.columns)

    def warm_up(self) -> None:
        """Score rows, so that no request waits for what a library loads at its first call; before the fork."""
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
        """Start the threads of this process; after the fork."""
        if self.settings.log != "off":
            version = Version(self.settings, self.about.name, self.about.version)
            columns = self.scorer.columns if self.settings.log == "all" else []
            rows = Rows(columns, self.about.version, self.about.threshold)
            self.writer = Writer(version.log, rows, self.settings.log_queue, self.settings.replay_rows)
            self.writer.start()
            self.labels = LabelWriter(version.log, self.settings.log_queue)
            self.labels.start()

    def stop(self) -> None:
        """End the threads: all that was answered is in closed files of the log."""
        self.pool.shutdown()
        for writer in filter(None, (self.writer, self.labels)):
            writer.stop()

    async def run(self, work: Callable[[], T], size: int) -> T:
        """Compute in the event loop, or in the thread if that may take long. size: bytes of the body."""
        if self.quick and size <= INLINE_BYTES:
            return work()
        return await self.in_thread(work)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Compute in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def score(self, matrix: Matrix | None) -> Scored | None:
        """Score rows by the fast way; None: MLflow's way must do it, and says what is wrong if something is.

        RefusedError: there are too many rows.
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
        """Log the rows of an answer. began: of the request, by time.perf_counter."""
        if self.writer and scored.count:
            latency = (time.perf_counter() - began) * 1000
            self.writer.add(
                Entry(request_id, time.time_ns(), user, latency, scored.features, scored.scores, scored.count)
            )

    def decisions(self, scored: Scored) -> list[int | None] | None:
        """Whether each row is flagged, 1 or 0; None: the version has no threshold, or its output is no score."""
        scores, threshold = scored.scores, self.about.threshold
        if scores is None or threshold is None:
            return None
        return [None if np.isnan(score) else int(score >= threshold) for score in scores]
