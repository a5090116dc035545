"""Wait until the follower serves the aliases' versions: python -m trackbox_serving.follower.settled STATE SECONDS.

The program prints a line for each served model. If the version that an alias names is not served, the program prints
the reason, and the exit code is 1.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from trackbox_serving.follower.status import ModelStatus, Status


def is_served(model: ModelStatus) -> bool:
    """Return whether the version that the alias names is live, and has its packages."""
    return model.live is not None and model.live.version == model.wanted != model.preparing


def word(model: ModelStatus) -> str:
    """Return why the alias's version is not served. Empty if it is served, or if the alias names no version."""
    if model.wanted is None or is_served(model):
        return ""
    if model.refused and model.refused.version == model.wanted:
        return f"{model.name}: version {model.wanted} was refused: {model.refused.reason}"
    return f"{model.name}: version {model.wanted} is not served yet. {model.candidate or model.problem}".rstrip()


def main() -> int:
    """Wait, and return the exit code."""
    path, end = Path(sys.argv[1]) / "status.json", time.monotonic() + float(sys.argv[2])
    while True:
        models = list(Status.read(path).models.values())
        problems = [each for each in map(word, models) if each]
        decided = all("was refused" in each for each in problems)
        # Do not wait for a model whose alias names no version, because waiting would not change that.
        waiting = any(model.candidate or (model.problem and model.wanted) for model in models)
        if (decided and not waiting) or time.monotonic() > end:
            break
        time.sleep(1)
    for model in models:
        if model.live and is_served(model):
            print(f"{model.name}@{model.alias} (version {model.live.version}) is served")
    print("\n".join(problems), file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
