"""The packages and the folder of an environment, and the files that the follower and the builder exchange.

The follower writes STATE/environments/wanted.json. The builder, build.py, writes ROOT/results/KEY.json, and the folders
ROOT/ENVIRONMENT. ENVIRONMENT is a hash of the locked packages, so versions with the same packages share a folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from trackbox_serving.files import read_regular, write_json

# Python's version without the last number, such as 3.13.
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
# The form of a key and of an environment's name, and the maximum size of a file in bytes.
NAME = re.compile(r"[0-9a-f]{16}")
MOST_BYTES = 1 << 20
# The file in the follower's folder, and the folder of the builder's results.
WANTED, RESULTS = "wanted.json", "results"


@dataclass(frozen=True)
class Needs:
    """The packages that a version needs. All lines have the form of `requirements.LINE`.

    Attributes:
        requirements: lines that the environment satisfies.
        preferences: pins that the environment satisfies if possible.

    """

    requirements: tuple[str, ...] = ()
    preferences: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def key(self, base: str) -> str:
        """Return the key of the environment's request and result. base: folder name of the default environment.

        The key changes with the default environment, because each environment contains the server's packages in the
        versions of the default one. It changes with Python's minor version, because wheels are made for a version.
        """
        return digest(json.dumps([base, PYTHON, sorted(self.requirements), sorted(self.preferences)]))

    @classmethod
    def read(cls, given: Any) -> Needs:
        """Return the needs in a decoded JSON object. Raise TypeError if it is malformed."""
        if not isinstance(given, Mapping):
            raise TypeError("the needs are no object")
        lists = [given.get(name) for name in ("requirements", "preferences")]
        if not all(isinstance(each, list) and all(isinstance(line, str) for line in each) for each in lists):
            raise TypeError("the requirements are no lists of lines")
        return cls(*(tuple(each) for each in lists if each is not None))


@dataclass(frozen=True)
class Result:
    """The builder's response to a request. At most one of the first three fields is set.

    Attributes:
        environment: name of the environment's folder.
        refused: reason why the packages cannot be installed.
        unavailable: temporary reason why the packages are not installed. The follower may ask again.
        asked: identifier of the request.
        packages: version of each package of the environment.

    """

    environment: str = ""
    refused: str = ""
    unavailable: str = ""
    asked: str = ""
    packages: Mapping[str, str] | None = None

    def write(self, root: Path, key: str) -> None:
        """Write the result for the follower and the versions."""
        (root / RESULTS).mkdir(exist_ok=True)
        write_json(root / RESULTS / f"{key}.json", asdict(self))

    @classmethod
    def read(cls, root: Path, key: str) -> Result | None:
        """Return the result of a key, or None if it is missing or malformed, or names a missing environment."""
        try:
            given = json.loads(read_regular(root / RESULTS / f"{key}.json", MOST_BYTES))
            found = cls(**{each.name: given[each.name] for each in fields(cls)})
            texts = (found.environment, found.refused, found.unavailable, found.asked)
            packages = found.packages or {}
            if not all(isinstance(text, str) for text in (*texts, *packages, *packages.values())):
                return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if found.environment and not (NAME.fullmatch(found.environment) and (root / found.environment).is_dir()):
            return None
        return found


def digest(text: str) -> str:
    """Return a hash of a text, for use as a name."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def environment(root: Path, needs: Needs, base: str) -> Path | None:
    """Return the folder of the environment with these packages, or None if it does not exist."""
    found = Result.read(root, needs.key(base))
    return root / found.environment if found and found.environment else None
