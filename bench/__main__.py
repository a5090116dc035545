"""Measure an installation, and its peers on the same machine, and write bench/RESULTS.md.

Usage: bench [--inventory FOLDER] [SUBJECT[,SUBJECT…]]. Without a subject, all of SUBJECTS are measured in this order.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

import report
from harness import ROOT, Bench, RefusedError, open_bench

SUBJECTS = (
    "log_metric",
    "log_batch",
    "queries",
    "history",
    "artifact",
    "s3",
    "scoring",
    "memory",
    "startup",
    "training",
    "install",
)


def chosen(words: str) -> list[str]:
    """Return the named subjects, or all if none is named; raises RefusedError for an unknown name."""
    names = [word for word in words.replace(",", " ").split() if word]
    for name in names:
        if name not in SUBJECTS:
            raise RefusedError(f"bench has no subject {name}: there are {', '.join(SUBJECTS)}.")
    return names or list(SUBJECTS)


def refuse_small_disk(names: list[str], bench: Bench) -> None:
    """Raise RefusedError if the machine has less free disk space than one of these subjects needs."""
    free = bench.free_gb()
    for name in names:
        needed = getattr(importlib.import_module(name), "NEEDS_GB", 1)
        if free < needed:
            raise RefusedError(
                f"{name} needs {needed} GB of free disk, and {bench.machine.name} has {free} GB: delete files there, "
                "or name other subjects."
            )


def main() -> None:
    """Measure the chosen subjects; exit with an error if a measurement changed the installation."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inventory", type=Path, default=ROOT / "inventory/local")
    parser.add_argument("subjects", nargs="?", default="")
    options = parser.parse_args()
    try:
        names, bench = chosen(options.subjects), open_bench(options.inventory)
        refuse_small_disk(names, bench)
    except RefusedError as refused:
        print(f"bench: {refused}", file=sys.stderr)
        sys.exit(2)
    before, machine = bench.state(), bench.facts()
    try:
        for name in names:
            began = time.monotonic()
            result = importlib.import_module(name).measure(bench)
            report.keep(name, result, machine)
            print(*(f"{name}: {target}" for target in result.targets), sep="\n")
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    finally:
        report.write()
    after = bench.state()
    if left := [f"{key}: {before.get(key)!r}, now {now!r}" for key, now in after.items() if now != before.get(key)]:
        sys.exit("bench: the measurement changed the installation: " + "; ".join(left))


if __name__ == "__main__":
    main()
