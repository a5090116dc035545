"""From what the user names (a file, a hash, `latest`, `synthetic`) to rows to train on."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fraud.data import openml, reading, schema, synthetic
from fraud.data.manifest import Manifest, describe
from fraud.data.store import Store
from fraud.errors import DataError

SYNTHETIC_SOURCE = "made by fraud.synthetic from seed 0"


@dataclass(frozen=True)
class Dataset:
    """Clean rows, what is known of them, and what to tell the user about them."""

    frame: pd.DataFrame
    manifest: Manifest
    notes: tuple[str, ...] = ()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def from_file(path: Path) -> Dataset:
    """Read and check a file.

    Raises:
        DataError: one sentence about what is wrong with it.

    """
    cleaned = schema.clean(reading.read(path), str(path))
    manifest = describe(
        cleaned.frame,
        kind="real",
        source=path.name,
        source_sha256=sha256_of(path),
        notes=cleaned.notes,
    )
    return Dataset(cleaned.frame, manifest, cleaned.notes)


def from_openml(name: str) -> Dataset:
    """Download and check `openml:ID`.

    Raises:
        DataError: OpenML is out of reach, or the data are not what the schema says.
    """
    cleaned = schema.clean(openml.fetch(name), name)
    manifest = describe(
        cleaned.frame, kind="real", source=name, source_sha256="", notes=cleaned.notes
    )
    return Dataset(cleaned.frame, manifest, cleaned.notes)


def from_name(name: str) -> Dataset:
    """The data set that `fraud data push` is given: a file's path or `openml:ID`."""
    return from_openml(name) if name.startswith(openml.SCHEME) else from_file(Path(name))


def make_synthetic() -> Dataset:
    """The synthetic data set of the full size (284,807 rows, 492 frauds)."""
    cleaned = schema.clean(synthetic.generate(), "the synthetic data set")
    manifest = describe(
        cleaned.frame, kind="synthetic", source=SYNTHETIC_SOURCE, source_sha256="", notes=()
    )
    note = "The data are synthetic: the scores say nothing about real cards."
    return Dataset(cleaned.frame, manifest, (note, *cleaned.notes))


def latest(store: Store) -> Dataset | None:
    """The newest data set that is not synthetic, None where there is none."""
    for manifest in store.manifests():
        if manifest.kind != "synthetic":
            return Dataset(store.load(manifest), manifest)
    return None


def resolve(name: str | None, store: Store) -> Dataset:
    """Get the rows to train on; what is not in the bucket yet is put there.

    Args:
        name: a hash or the beginning of one (4 digits or more), `latest`, `synthetic`, the
            path of a file, or None for the latest if there is one and else the synthetic one.
        store: the bucket.

    Raises:
        DataError: no such data set, or a file that fails a check.
        ServiceError: the bucket is out of reach.

    """
    if name in (None, "latest"):
        found = latest(store)
        if found:
            return found
        if name == "latest":
            raise DataError(
                f"The bucket {store.settings.bucket} holds no data set but synthetic ones",
                "`fraud data push FILE` puts one there; `--data synthetic` trains without.",
            )
    if name in (None, "synthetic"):
        dataset = make_synthetic()
    elif name and re.fullmatch(r"[0-9a-f]{4,64}", name) and not Path(name).exists():
        manifest = store.find(name)
        return Dataset(store.load(manifest), manifest)
    else:
        dataset = from_name(str(name))
    store.push(dataset.frame, dataset.manifest)
    return dataset
