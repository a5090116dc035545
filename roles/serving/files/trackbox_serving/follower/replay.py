"""The last logged rows of each model. A candidate scores these rows before it goes live.

Workers write the rows as JSON beside the log. Workers run untrusted models, so the follower, which has passwords, must
not parse the Parquet files of the log.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trackbox_serving.files import read_regular, write_json
from trackbox_serving.log.column_names import SAMPLE
from trackbox_serving.settings import Settings

WHOLE = ("integer", "long")
# The maximum size of a sample in bytes, and all fields of a sample except `version`, `columns` and `data`.
MOST_BYTES = 64 << 20
FACTS = ("request_id", "row", "time", "score", "decision")


@dataclass(frozen=True)
class Sample:
    """A sample of n logged rows. `folder` is the model's folder name.

    Attributes:
        version: version that scored the rows.
        columns: names of the k columns.
        data: values (n, k).
        facts: n values for each name in FACTS. `time` is in microseconds since 1970.

    """

    folder: str
    version: str
    columns: list[str]
    data: list[list[Any]]
    facts: dict[str, list[Any]]

    def part(self, first: int, end: int | None) -> Sample:
        """Return the sample with only the rows from `first` to before `end`."""
        facts = {name: values[first:end] for name, values in self.facts.items()}
        return replace(self, data=self.data[first:end], facts=facts)


def take(state: Path) -> Iterator[Sample]:
    """Yield the samples that workers wrote, and delete their files. Files that are not valid are only deleted."""
    for path in sorted(state.glob(f"log/*/*/*{SAMPLE}")):
        try:
            yield parse(read_regular(path, MOST_BYTES), path.parts[-3], path.parts[-2])
        except (OSError, ValueError, RecursionError):
            pass
        finally:
            # unlink fails for a folder that has the name of a sample. The folder stays, because it is the worker's.
            with contextlib.suppress(OSError):
                path.unlink()


def parse(text: bytes, folder: str, version: str) -> Sample:
    """Return the sample in a file's text. Raise ValueError if it is not valid."""
    given = json.loads(text)
    columns, data = (given.get(name) if isinstance(given, dict) else None for name in ("columns", "data"))
    if not is_list(columns, str) or not is_list(data, list) or not data or not columns:
        raise ValueError("it has no rows")
    facts = {name: given.get(name) for name in FACTS}
    if any(len(row) != len(columns) for row in data):
        raise ValueError("its rows have several lengths")
    if any(not isinstance(values, list) or len(values) != len(data) for values in facts.values()):
        raise ValueError("its columns have several lengths")
    return Sample(folder, version, columns, data, facts)


def is_list(value: Any, kind: type) -> bool:
    """Return whether a value is a list that contains only items of this type."""
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def kept(state: Path, folder: str) -> Path:
    """Return the path of the file with a model's last rows. `folder` is the model's folder name."""
    return state / "replay" / f"{folder}.json"


def remember(shared: Settings, sample: Sample) -> None:
    """Add a sample to the file with the last rows of its model, and drop the oldest rows above the limit.

    If the sample has other columns than the rows in the file, drop all of these rows.
    """
    path = kept(shared.state, sample.folder)
    path.parent.mkdir(exist_ok=True)
    columns, data = read(path)
    data = (data if columns == sample.columns else []) + sample.data
    write_json(path, {"columns": sample.columns, "data": data[max(0, len(data) - shared.replay_rows) :]})


def read(path: Path) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows in a file that the follower wrote, or empty lists if it is missing or broken."""
    try:
        found = json.loads(path.read_text())
        return found["columns"], found["data"]
    except (OSError, ValueError, KeyError, TypeError):
        return [], []


def rows(shared: Settings, name: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return a model's last logged rows in the format `dataframe_split`, or an empty dictionary if there are none.

    `kinds` maps columns to their types in the signature. It is needed because the log stores numbers as float64.
    """
    columns, data = read(kept(shared.state, quote(name, safe="")))
    return split(columns, data, kinds) if data else {}


def split(columns: list[str], data: list[list[Any]], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return rows in the format `dataframe_split`; see `rows`."""
    wanted = [kinds.get(name, "") for name in columns]
    values = [[value_of(*each) for each in zip(row, wanted, strict=True)] for row in data]
    return {"columns": columns, "data": values}


def value_of(value: Any, kind: str) -> Any:
    """Convert a logged value into the value that a client would send."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if kind in WHOLE and value.is_integer():
            return int(value)
        if kind == "boolean":
            return bool(value)
    return value
