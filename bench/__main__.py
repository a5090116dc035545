"""Measure an installation, beside its peers in the same machine, and write bench/RESULTS.md.

bench [--inventory FOLDER] [SUBJECT[,SUBJECT…]]; without one, every subject, in the order of SUBJECTS.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from pathlib import Path

import report
from harness import ROOT, RefusedError, keep, open_bench

SUBJECTS = ("log_metric", "log_batch", "search", "memory", "startup")


def chosen(words: str) -> list[str]:
    """The subjects that these words name, or all; raises RefusedError where there is none of this name."""
    names = [word for word in words.replace(",", " ").split() if word]
    for name in names:
        if name not in SUBJECTS:
            raise RefusedError(f"bench has no subject {name}: there are {', '.join(SUBJECTS)}.")
    return names or list(SUBJECTS)


def main() -> None:
    """Measure what was chosen; say what it left behind, if anything."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inventory", type=Path, default=ROOT / "inventory/local")
    parser.add_argument("subjects", nargs="?", default="")
    options = parser.parse_args()
    try:
        names = chosen(options.subjects)
        bench = open_bench(options.inventory)
        before, machine = bench.state(), report.machine(bench)
        for name in names:
            began = time.monotonic()
            result = importlib.import_module(name).measure(bench)
            keep(name, result, machine)
            for reach in result.reaches:
                print(f"{name}: {report.line(reach.__dict__ | {'held': reach.held})}", flush=True)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    except RefusedError as refused:
        print(f"bench: {refused}", file=sys.stderr)
        sys.exit(2)
    finally:
        report.write()
    subprocess.run([ROOT / "training/.venv/bin/python", ROOT / "bench/plot.py"], check=True)
    after = bench.state()
    if left := [
        f"{key}: {before.get(key)!r}, now {after.get(key)!r}" for key in after if after[key] != before.get(key)
    ]:
        sys.exit("bench: the installation is not as it was: " + "; ".join(left))


if __name__ == "__main__":
    main()
