"""What is known of a data set without reading it, and the hash that names it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import pandas as pd

from fraud.data.schema import COLUMNS, LABEL, TIME


@dataclass(frozen=True)
class Manifest:
    """What is known of a data set without reading it; `pushed` is a time in UTC."""

    hash: str
    kind: str
    source: str
    source_sha256: str
    rows: int
    frauds: int
    columns: list[str]
    time_range: list[float]
    notes: list[str]
    pushed: str


def content_hash(frame: pd.DataFrame) -> str:
    """SHA-256 of the values, column by column; the file's format and writer play no part."""
    digest = hashlib.sha256(f"{','.join(COLUMNS)};{len(frame)}".encode())
    for column in COLUMNS:
        digest.update(np.ascontiguousarray(frame[column], dtype="<f8").tobytes())
    return digest.hexdigest()


def describe(
    frame: pd.DataFrame, *, kind: str, source: str, source_sha256: str, notes: tuple[str, ...] = ()
) -> Manifest:
    """The manifest of a clean data set; `kind` is `real` or `synthetic`."""
    return Manifest(
        hash=content_hash(frame),
        kind=kind,
        source=source,
        source_sha256=source_sha256,
        rows=len(frame),
        frauds=int(frame[LABEL].sum()),
        columns=list(COLUMNS),
        time_range=[float(frame[TIME].min()), float(frame[TIME].max())],
        notes=list(notes),
        pushed=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
