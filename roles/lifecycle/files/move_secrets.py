"""Move a folder of secrets, and correct its path in the files `env` and `summary.txt`: move_secrets.py FROM TO.

If a move is interrupted, run it again. This works because the folder keeps its old name until the last step, and that
step, a rename, is atomic.
"""

from __future__ import annotations

import sys
from pathlib import Path


def rewrite(file: Path, before: str, after: str) -> None:
    """Replace a text in a file atomically. Only the owner may read the new file."""
    new = file.with_name(f".{file.name}.new")
    new.touch(mode=0o600)
    new.write_text(file.read_text().replace(before, after))
    new.replace(file)


def move(old: Path, new: Path) -> None:
    """Move the folder, unless another process did so meanwhile. Raises OSError if `new` contains files already."""
    try:
        for file in (old / "env", old / "summary.txt"):
            if file.is_file():
                rewrite(file, f"{old}/", f"{new}/")
        old.rename(new)
    except FileNotFoundError:
        if old.exists() or not new.is_dir():
            raise


if __name__ == "__main__":
    move(Path(sys.argv[1]), Path(sys.argv[2]))
