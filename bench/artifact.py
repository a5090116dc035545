"""Upload and download artifacts of 1 MB to 1 GB through NGINX and MLflow, and directly by S3 to MinIO."""

from __future__ import annotations

import statistics
from functools import partial

import pss
from harness import Bench
from report import Result, Target, spread

NEEDS_GB = 6
DOOR, RAW = "through the front door", "raw S3 to MinIO"
SIZES = {"1 MB": 2**20, "16 MB": 2**24, "256 MB": 2**28, "1 GB": 2**30}

GROWTH_REASON = "up to some MB the request itself takes most of the time; for larger artifacts the transfer does."


def measure(bench: Bench) -> Result:
    """Measure the seconds for one file; results are medians of three rounds, or of nine for files below 256 MB."""
    stores = {DOOR: bench.door(), RAW: bench.store()}
    table = [
        "| artifact | way | through the front door, s (rounds) | raw S3, s (rounds) | ratio |",
        "| --- | --- | --- | --- | ---: |",
    ]
    ratios, lines = {}, dict[str, list[tuple[float, float]]]()

    def work(size: int) -> None:
        given = {"stores": {DOOR: bench.door()}, "size": size, "count": 1, "threads": 1, "rounds": 1}
        bench.client(given, "client_store.py")

    memory = pss.growth(bench, {size / 2**20: partial(work, size) for size in SIZES.values()})
    for name, size in SIZES.items():
        given = {"stores": stores, "size": size, "count": 1, "threads": 1, "rounds": 3 if size > 2**24 else 9}
        found = bench.client(given, "client_store.py")
        for way in ("up", "down"):
            ours, raw = found[f"{DOOR} {way}"], found[f"{RAW} {way}"]
            ratios[name, way] = statistics.median(ours) / statistics.median(raw)
            table.append(f"| {name} | {way} | {spread(ours)} | {spread(raw)} | {ratios[name, way]:.2f} |")
            for store in (DOOR, RAW):
                point = (size / 2**20, statistics.median(found[f"{store} {way}"]))
                lines.setdefault(f"{way}, {store}", []).append(point)
    targets = [Target(f"1 GB {way}: time, relative to raw S3", ratios["1 GB", way], 2) for way in ("up", "down")]
    return Result(targets, "\n".join(table), ("size of the artifact, MB", "seconds"), lines, memory, GROWTH_REASON)
