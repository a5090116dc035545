"""Copy the files of MLflow's UI to a folder for NGINX, each with its compressed forms beside it.

static_files.py BUILD FOLDER MARK [brotli], with the system's Python. BUILD: a pattern that matches the UI's folder in
MLflow's package. FOLDER: the copy, which is replaced as a whole. MARK: an empty file, made when the copy is complete.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

Compressor = Callable[[bytes], bytes]

# The files to compress: text, and fonts in formats that are not compressed.
COMPRESSIBLE = {".cjs", ".css", ".eot", ".html", ".ico", ".js", ".json", ".mjs", ".svg", ".ttf", ".txt"}
# The smallest file to compress, in bytes. Smaller files fit in one packet anyway.
SMALLEST = 1000
# Webpack puts a hash of a file's content into the file's name, as in main.c2f5f8d4.js.
HASHED = re.compile(r"\.[0-9a-f]{8,32}\.")


def gzipped(data: bytes) -> bytes:
    """Return the data compressed by gzip, without a timestamp."""
    return gzip.compress(data, 9, mtime=0)


def brotlied(data: bytes) -> bytes:
    """Return the data compressed by brotli.

    Quality 10 takes 28 s of CPU time for MLflow 3.17's files. Quality 9 would take 8 s and make them 7 % larger; 11
    would take 80 s. The program brotli is used instead of Debian's Python library, because the library would make
    python3 depend on a certain release of libbrotli1, which the database's package source may replace.
    """
    command = ["brotli", "--quality=10", "--lgwin=24", "--stdout"]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=300).stdout


def add_file(build: Path, folder: Path, compressors: Mapping[str, Compressor], path: Path) -> None:
    """Copy one file, and write its compressed forms if they are smaller. compressors: a function for each suffix."""
    copy = folder / path.relative_to(build)
    copy.parent.mkdir(parents=True, exist_ok=True)
    if HASHED.search(path.name):
        copy.hardlink_to(path)
    else:
        # Give the copy a new modification time, because NGINX computes the ETag from it, and files of two MLflow
        # versions may have the same time.
        shutil.copyfile(path, copy)
    data = path.read_bytes()
    if path.suffix in COMPRESSIBLE and len(data) >= SMALLEST:
        for suffix, compress in compressors.items():
            if len(small := compress(data)) < len(data):
                copy.with_name(copy.name + suffix).write_bytes(small)


def prepare(build: Path, folder: Path, compressors: Mapping[str, Compressor]) -> None:
    """Replace `folder` by the files of `build`, with compressed forms."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    paths = [path for path in build.rglob("*") if path.is_file()]
    with ProcessPoolExecutor() as pool:
        # Begin with the largest files, so that no process still compresses a large file when the others have ended.
        largest_first = sorted(paths, key=lambda path: -path.stat().st_size)
        list(pool.map(partial(add_file, build, new, compressors), largest_first))
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def main() -> None:
    """Prepare the files that the command line names."""
    os.umask(0o022)
    [build] = Path("/").glob(sys.argv[1].lstrip("/"))
    folder, mark = Path(sys.argv[2]), Path(sys.argv[3])
    brotli: dict[str, Compressor] = {".br": brotlied} if "brotli" in sys.argv[4:] else {}
    prepare(build, folder, {".gz": gzipped, **brotli})
    for old in mark.parent.glob(f"{folder.name}-*"):
        old.unlink()
    mark.touch()


if __name__ == "__main__":
    main()
