"""The manifest of a data set, and the hash that names it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

import numpy as np
import pandas as pd

from fraud.data.schema import COLUMNS, LABEL, TIME
from fraud.types import Manifest


def content_hash(frame: pd.DataFrame) -> str:
    """SHA-256 of the values, column by column. It does not depend on the file format."""
    digest = hashlib.sha256(f"{','.join(COLUMNS)};{len(frame)}".encode())
    for column in COLUMNS:
        digest.update(np.ascontiguousarray(frame[column], dtype="<f8").tobytes())
    return digest.hexdigest()


def describe(
    frame: pd.DataFrame, *, kind: str, source: str, source_sha256: str, notes: tuple[str, ...] = ()
) -> Manifest:
    """Make the manifest of a clean data set; for the arguments see `Manifest`."""
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
