"""Upload closed request log files to the object store, and limit the disk space of the files that wait.

After a crash or an outage, a file may be uploaded a second time. Then it overwrites its first upload, because the key
is the same.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trackbox_serving.files import NotRegularError, regular
from trackbox_serving.follower import replay
from trackbox_serving.follower.errors import sentence
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.status import Status
from trackbox_serving.log.column_names import BESIDE, LABELS

# The maximum size of a log file in bytes. There is a limit because workers run untrusted models, and write these files.
MOST_BYTES = 1 << 30
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,120}\.parquet")
DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


@dataclass(frozen=True)
class Closed:
    """A closed log file. `folder` is the model's folder name, `changed` the Unix time when the file was closed."""

    path: Path
    folder: str
    version: str
    size: int
    changed: float

    @property
    def key(self) -> str:
        """The object's key in the bucket."""
        kind, _, name = self.path.name.partition("-")
        # Labels and challengers' scores lie one folder deeper than request logs (NAME/labels/DATE/FILE instead of
        # NAME/DATE/FILE), so that `NAME/*/*.parquet` matches only request logs.
        below = f"{kind}/" if kind in BESIDE else ""
        name = name if below else self.path.name
        day = datetime.datetime.fromtimestamp(self.changed, datetime.UTC).strftime("%Y-%m-%d")
        if found := DATE.match(name):
            day = "-".join(found.groups())
        return f"{self.folder}/{below}date={day}/version-{self.version}-{name}"


def closed(state: Path) -> list[Closed]:
    """Return the closed log files of all versions, the oldest first."""
    found = []
    for path in sorted(state.glob("log/*/*/*.parquet")):
        if not NAME.fullmatch(path.name):
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        # Skip a folder that has the name of a log file, because the follower may not empty it.
        if stat.S_ISDIR(status.st_mode):
            continue
        found.append(Closed(path, path.parts[-3], path.parts[-2], status.st_size, status.st_mtime))
    return sorted(found, key=lambda file: (file.changed, file.path))


class Store:
    """The S3 bucket for the logs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def files(self) -> Any:
        """Return pyarrow's file system for the store. It retries little, because the next round tries again anyway."""
        from pyarrow import fs

        its = self.settings
        return fs.S3FileSystem(
            access_key=its.s3_user,
            secret_key=its.s3_secret,
            region=its.region,
            endpoint_override=its.s3_endpoint,
            connect_timeout=3,
            request_timeout=30,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
            **({"tls_ca_file_path": its.ca_file} if its.ca_file else {}),
        )

    def put(self, key: str, blocks: Iterator[bytes]) -> None:
        """Store an object. Raise OSError if the store did not accept it."""
        with self.files.open_output_stream(f"{self.settings.bucket}/{key}") as out:
            for block in blocks:
                out.write(block)


class Delivery:
    """Uploads closed log files, keeps the last rows for replays, and deletes the oldest files beyond the size limit.

    Each of the `listeners` gets every sample of logged rows.
    """

    def __init__(
        self, settings: Settings, status: Status, listeners: Sequence[Callable[[replay.Sample], None]] = ()
    ) -> None:
        self.settings, self.status, self.listeners = settings, status, listeners
        self.store = Store(settings)

    def round(self) -> None:
        """Upload the closed files. Files that the store does not accept stay for the next round."""
        problem, delivered, dropped = "", 0, 0
        self.remember()
        for file in closed(self.settings.shared.state):
            try:
                # The untrusted model in a worker may have put a symbolic link or a pipe in place of a log file.
                with regular(file.path) as source:
                    if file.size > MOST_BYTES:
                        raise ValueError(f"{file.path.name} has {file.size >> 20} MB")
                    if self.settings.s3_endpoint:
                        self.store.put(file.key, iter(lambda: source.read(1 << 20), b""))
                file.path.unlink(missing_ok=True)
                delivered += 1
            except NotRegularError:
                file.path.unlink(missing_ok=True)
                dropped += 1
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                problem = f"The object store does not take the logs: {sentence(error, 200)}"
                break
        self.count(problem, delivered, dropped)

    def remember(self) -> None:
        """Keep the rows that workers wrote for replays, and pass them to challengers. Ignore a full disk."""
        for sample in replay.take(self.settings.shared.state):
            with contextlib.suppress(OSError):
                replay.remember(self.settings.shared, sample)
            for listener in self.listeners:
                listener(sample)

    def count(self, problem: str, delivered: int, dropped: int) -> None:
        """Delete the oldest files beyond the size limit, and update the status of the upload."""
        left = closed(self.settings.shared.state)
        # Delete files of the log before files of labels, because clients were told that their labels are stored.
        left.sort(key=lambda file: file.path.name.startswith(LABELS))
        total = sum(file.size for file in left)
        while left and total > self.settings.log_disk_mb << 20:
            oldest = left.pop(0)
            oldest.path.unlink(missing_ok=True)
            total -= oldest.size
            dropped += 1
        log = self.status.log

        def change() -> None:
            log.waiting_files, log.waiting_bytes, log.problem = len(left), total, problem
            log.delivered += delivered
            log.dropped += dropped

        self.status.change(change)
