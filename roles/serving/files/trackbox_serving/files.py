"""Files that pass between the follower, the workers and root's one-shot: replaced whole, opened only if ordinary."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class NotRegularError(ValueError):
    """The path leads to a link, a pipe, or a file with a second name."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is no ordinary file")


@contextmanager
def regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file that a less trusted process wrote. NotRegularError: it is none. OSError: it cannot be read."""
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
    """Return the first bytes of a file that a less trusted process wrote; see `regular`."""
    with regular(path) as file:
        return file.read(limit)


def write_json(path: Path, value: Any) -> None:
    """Replace a file of JSON: readers see the old one or the new one."""
    new = path.with_name(f".{path.name}")
    with new.open("w") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
