"""Read and write the files that the follower, the workers and the service that starts units exchange.

Writers replace a whole file at once. Readers open only regular files, because the writer may be less trusted.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class NotRegularError(ValueError):
    """The path is not a regular file, or is a file with more than one hard link."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is no ordinary file")


@contextmanager
def regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file that a less trusted process wrote. Raise NotRegularError if it is a link, a pipe or a folder."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise NotRegularError(path) from error
        raise
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise NotRegularError(path)
        yield file


def read_regular(path: Path, limit: int) -> bytes:
    """Return the first `limit` bytes of a file from a less trusted process. Raise NotRegularError like `regular`."""
    with regular(path) as file:
        return file.read(limit)


def write_json(path: Path, value: Any, mode: int | None = None) -> None:
    """Replace a JSON file atomically: readers see either the old or the new content. mode: None uses the umask."""
    new = path.with_name(f".{path.name}")
    with new.open("w") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        json.dump(value, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
