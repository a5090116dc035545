"""Find the data set that the user names (a file, a hash, `latest`, `synthetic`) and check it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fraud.data import openml, reading, schema, synthetic
from fraud.data.manifest import describe
from fraud.data.store import Store
from fraud.errors import DataError
from fraud.types import Dataset

#: Stored manifests contain this text, so it keeps the old name of the module
#: `fraud.data.synthetic`.
SYNTHETIC_SOURCE = "made by fraud.synthetic from seed 0"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _checked(
    frame: pd.DataFrame, name: str, *, kind: str, source: str, source_sha256: str = ""
) -> Dataset:
    """Clean the rows of a data set, and make its manifest.

    Args:
        frame: n rows of numbers.
        name: name of the data set, for error messages.
        kind, source, source_sha256: see `Manifest`.

    """
    cleaned = schema.clean(frame, name)
    manifest = describe(
        cleaned.frame, kind=kind, source=source, source_sha256=source_sha256, notes=cleaned.notes
    )
    return Dataset(cleaned.frame, manifest, cleaned.notes)


def from_file(path: Path) -> Dataset:
    """Read and check a file.

    Raises:
        DataError: the file cannot be read, or its content fails a check.

    """
    frame = reading.read(path)
    return _checked(frame, str(path), kind="real", source=path.name, source_sha256=sha256_of(path))


def from_name(name: str) -> Dataset:
    """Read and check a data set that is named by a file's path or by `openml:ID`.

    Raises:
        DataError: the data cannot be read or downloaded, or a check fails.

    """
    if name.startswith(openml.SCHEME):
        return _checked(openml.fetch(name), name, kind="real", source=name)
    return from_file(Path(name))


def make_synthetic() -> Dataset:
    """Make the synthetic data set of full size (284,807 rows, 492 frauds)."""
    made = _checked(
        synthetic.generate(), "the synthetic data set", kind="synthetic", source=SYNTHETIC_SOURCE
    )
    note = "The data are synthetic: the scores say nothing about real cards."
    return replace(made, notes=(note, *made.notes))


def latest(store: Store) -> Dataset | None:
    """The newest data set that is not synthetic, None if there is none."""
    for manifest in store.manifests():
        if manifest.kind != "synthetic":
            return Dataset(store.load(manifest), manifest)
    return None


def resolve(name: str | None, store: Store) -> Dataset:
    """Get the data set to train on; store it in the bucket if it is not there yet.

    Args:
        name: a hash or its beginning (4 digits or more), `latest`, `synthetic`, `openml:ID` or
            the path of a file. None means the newest real data set in the bucket, or the
            synthetic one if the bucket has no real one.
        store: the bucket.

    Raises:
        DataError: there is no such data set, or a file fails a check.
        ServiceError: the object store was not reached, or refused the request.

    """
    if name in (None, "latest"):
        found = latest(store)
        if found:
            return found
        if name == "latest":
            raise DataError(
                f"The bucket {store.settings.bucket} has only synthetic data sets",
                "`fraud data push FILE` stores a real one; `--data synthetic` needs none.",
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
