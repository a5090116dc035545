"""The challenger of a model: the version that a second alias names. It scores logged rows and answers no client.

Its unit is confined like every version's. It has one process and the lowest priority, and NGINX has no link to it. The
rows come from the log, together with the live version's scores. The scores of both versions go to the bucket. From
there `fraud evaluate` writes them to an MLflow run, because the follower may not write runs.

The work is done in the thread of the model's follower, in small steps, so that a moved alias does not wait long.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trackbox_serving.follower import guard, prove, replay
from trackbox_serving.follower.errors import Refused, Unavailable, sentence
from trackbox_serving.follower.status import Served
from trackbox_serving.log.column_names import SHADOW
from trackbox_serving.run_unit import ENDED

if TYPE_CHECKING:
    from trackbox_serving.follower.model import ModelFollower

# The number of rows in one step, the step's timeout in seconds, and the number of consecutive failures after
# which a challenger is refused.
CHUNK, SECONDS, FAILURES = 500, 10.0, 5
# The maximum number of waiting samples of the log. Beyond it the oldest are dropped.
MOST_SAMPLES = 20
# The scores are written to a file after this number of seconds or of rows.
CLOSE_SECONDS, CLOSE_ROWS = 60.0, 10_000
# The maximum seconds to wait for the end of a challenger's unit, before the version is started as a candidate.
ENDS = 30.0
# The tag of a version that was refused as a challenger.
TAG = "serving.challenger"
COLUMNS = ("request_id", "row", "time", "version", "score", "decision", "live_version", "live_score", "live_decision")


@dataclass
class Running:
    """A challenger whose unit runs.

    Attributes:
        served: the challenger's version.
        kinds: types of the model's columns by name.
        until: time.monotonic() at which the time for its first response ends, or None after the first response.
        failures: number of consecutive failures.
        rows, changed: number of scored rows, and of decisions that differ from the live version's.
        scores: rows with the columns COLUMNS, for the next file.
        since: time.monotonic() when the first row was added to `scores`.

    """

    served: Served
    kinds: dict[str, str]
    until: float | None
    failures: int = 0
    rows: int = 0
    changed: int = 0
    scores: list[tuple[Any, ...]] = field(default_factory=list)
    since: float = 0.0


class Shadow:
    """Runs the challenger of one model. `model` is the follower of this model."""

    def __init__(self, model: ModelFollower) -> None:
        self.model, self.alias = model, model.settings.challenger
        self.running: Running | None = None
        # A checked version whose packages are being prepared.
        self.waiting: Served | None = None
        # The number of the refused version, and the hash of the settings under which it was refused.
        self.refused = ("", "")
        self.samples: deque[replay.Sample] = deque(maxlen=MOST_SAMPLES)

    @property
    def versions(self) -> set[str]:
        """A set with the number of the version whose unit runs. It is empty if no unit runs."""
        return {self.running.served.version} if self.running else set()

    def offer(self, sample: replay.Sample) -> None:
        """Queue logged rows, which the challenger scores later. Any thread may call this method."""
        versions = self.versions
        if versions and sample.version not in versions and sample.folder == self.model.links.folder.name:
            self.samples.append(sample)

    def say(self, text: str) -> None:
        """Show the state of the challenger on the overview page."""
        self.model.note(challenger=text)

    def step(self) -> None:
        """Query the challenger's alias, and do the next step of the challenger's work."""
        if not self.alias:
            return
        number = self.model.registry.version_of(self.model.given.name, self.alias)
        served = self.model.reachable | ({self.model.waiting.version} if self.model.waiting else set())
        if self.waiting and (self.waiting.version != number or number in served):
            self.waiting = None
        if number is None or number in served:
            self.end()
            self.say(f"Version {number}, the {self.alias}, is served itself." if number else "")
            return
        shared = self.model.settings.shared
        if shared.log != "all" or not shared.replay_rows:
            self.say(f"Version {number}, the {self.alias}, needs serving_log: all, and serving_replay_rows above 0.")
            return
        if self.versions != {number}:
            self.end()
        try:
            if self.running is None:
                if self.refused != (number, self.model.judge()):
                    self.begin(number)
            elif self.running.until is not None:
                self.look(self.running, self.running.until)
            else:
                self.score(self.running)
        except Refused as refusal:
            self.waiting = None
            self.refuse(number, str(refusal))
        except Unavailable as error:
            # A problem of the challenger must not stop the follower from serving the live alias, so do not raise.
            self.say(f"Version {number}, the {self.alias}, does not start: {error}")

    def begin(self, number: str) -> None:
        """Download and check a version, and request its unit."""
        model = self.model
        served = self.waiting or model.prepare(number, "challenger")
        if model.needs(number):
            self.waiting = served
            model.ask_for_environments()
            if not model.packaged(number):
                self.say(f"The packages of version {number}, the {self.alias}, are prepared.")
                return
        model.forget_ends(number)
        kinds = guard.column_types(model.version(number).model)
        self.running = Running(served, kinds, time.monotonic() + model.settings.load_seconds)
        self.waiting = None
        self.samples.clear()
        model.ask_for_units()
        self.say(f"Version {number}, the {self.alias}, is starting.")

    def look(self, running: Running, until: float) -> None:
        """Check whether the version answers yet. Raise Refused if its process ended or it takes too long."""
        model, number = self.model, running.served.version
        if reason := model.failure(number):
            raise Refused(f"The version does not load: {reason}")
        if model.answers(number):
            running.until = None
            self.report(running)
        elif time.monotonic() > until:
            raise Refused(f"The version did not answer within {model.settings.load_seconds:.0f} s.")

    def score(self, running: Running) -> None:
        """Let the version score some rows. Raise Refused after several consecutive failures."""
        if self.samples:
            sample = self.samples.popleft()
            if len(sample.data) > CHUNK:
                self.samples.appendleft(sample.part(CHUNK, None))
            try:
                self.keep(running, sample.part(0, CHUNK))
                running.failures = 0
            except Refused as error:
                running.failures += 1
                if running.failures >= FAILURES:
                    raise Refused(f"The version fails on rows that version {sample.version} scores. {error}") from error
            self.report(running)
        if running.scores and (len(running.scores) >= CLOSE_ROWS or time.monotonic() > running.since + CLOSE_SECONDS):
            self.write(running)

    def keep(self, running: Running, sample: replay.Sample) -> None:
        """Score rows, and keep the scores of both versions. Raise Refused if the challenger fails to score them."""
        its, facts = running.served, sample.facts
        body = {"dataframe_split": replay.split(sample.columns, sample.data, running.kinds)}
        found = prove.score(self.model.links.socket(its.version), its.version, body, SECONDS)
        prove.check(found, len(sample.data))
        scores = [number(prove.numbers(row)[-1]) for row in found]
        limit = its.threshold
        decisions = [None if score is None or limit is None else int(score >= limit) for score in scores]
        running.changed += sum(
            None not in pair and pair[0] != pair[1] for pair in zip(decisions, facts["decision"], strict=True)
        )
        running.rows += len(scores)
        running.since = running.since if running.scores else time.monotonic()
        known = (facts["request_id"], facts["row"], facts["time"])
        live = (facts["score"], facts["decision"])
        running.scores += [
            (*before, its.version, score, decision, sample.version, *after)
            for before, score, decision, after in zip(
                zip(*known, strict=True), scores, decisions, zip(*live, strict=True), strict=True
            )
        ]

    def report(self, running: Running) -> None:
        """Show on the overview page how many decisions change."""
        text = f"Version {running.served.version}, the {self.alias}, has scored {running.rows:,} logged rows"
        self.say(f"{text}: {running.changed:,} decisions change." if running.rows else f"{text}.")

    def write(self, running: Running) -> None:
        """Write the scores to a file, which is uploaded like a log. Discard them if a worker's rows are not valid."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts, numbers, whole = pa.string(), pa.float64(), pa.int8()
        kinds = (texts, pa.int32(), pa.int64(), texts, numbers, whole, texts, numbers, whole)
        rows, running.scores = running.scores, []
        folder = self.model.version(running.served.version).log
        name = f"{SHADOW}{time.strftime('%Y%m%d%H', time.gmtime())}-{time.time_ns() // 1000}.parquet"
        part = folder / f".open-{name}"
        try:
            arrays = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
            table = pa.Table.from_arrays(arrays, COLUMNS)
            at = COLUMNS.index("time")
            table = table.set_column(at, "time", table.column(at).cast(pa.timestamp("us", tz="UTC")))
            pq.write_table(table, part, compression="zstd")
            part.rename(folder / name)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            print(
                f"the rows that version {running.served.version} scored cannot be kept: {sentence(error)}", flush=True
            )
        finally:
            part.unlink(missing_ok=True)

    def refuse(self, number: str, reason: str) -> None:
        """Stop a challenger, and write the reason to the overview page and a tag."""
        self.end()
        self.refused = (number, self.model.judge())
        self.say(f"Version {number}, the {self.alias}, was refused: {sentence(reason)}")
        with contextlib.suppress(Unavailable):
            self.model.registry.tag(self.model.given.name, number, TAG, f"refused: {sentence(reason)}")

    def end(self) -> None:
        """Write the remaining scores, and stop the challenger's unit."""
        if self.running:
            running = self.running
            if running.scores:
                with contextlib.suppress(OSError):
                    self.write(running)
            self.running = None
            self.model.ask_for_units()

    def release(self, number: str) -> None:
        """If this version is the challenger, stop it and wait for its end, so that it can start again for clients."""
        if self.waiting and self.waiting.version == number:
            self.waiting = None
        if self.versions != {number}:
            return
        self.end()
        end, log = time.monotonic() + ENDS, self.model.version(number).log
        while self.model.links.socket(number).exists() and time.monotonic() < end:
            self.model.stop.wait(0.1)
        # Wait until systemd has written the file ENDED. Otherwise the next process would seem to have ended.
        end = min(end, time.monotonic() + 5)
        while not (log / ENDED).exists() and time.monotonic() < end:
            self.model.stop.wait(0.1)


def number(value: Any) -> float | None:
    """Return a score, or None if the value is not a number."""
    return float(value) if isinstance(value, int | float) else None
