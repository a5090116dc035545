"""As root, start the versions' units that STATE/wanted.json names, stop all other units of versions, and exit.

    start_units.py STATE SETTINGS

The follower, which is not root, writes wanted.json, so this program checks each name. It must have the form
MODEL/VERSION, and SETTINGS, which only root can write, must name the model. At most MOST versions of a model run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from trackbox_serving.files import read_regular
from trackbox_serving.names import Unit

TEMPLATE = "trackbox-serving"
# The folder of the drop-ins that give each version's unit its own user. Without them systemd would derive the same user
# name for all instances of the template.
UNITS = Path("/run/systemd/system")
SYSTEMCTL = ("systemctl", "--no-ask-password")
# The maximum number of units for a model: the live, previous and new version, the challenger, and versions that drain.
MOST = 8
MOST_BYTES = 1 << 20
BACKGROUND = "Nice=19\nCPUWeight=1\nIOWeight=1\nOOMScoreAdjust=900\n"


def read(path: Path) -> list[str]:
    """Return the unit names in the follower's file. Raise ValueError or OSError if the file is not valid."""
    text = read_regular(path, MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES} bytes")
    found = json.loads(text)
    units = found.get("units") if isinstance(found, dict) else None
    if not isinstance(units, list) or not all(isinstance(unit, str) for unit in units):
        raise ValueError(f"{path} has no list of units")
    return units


def allowed(names: Iterable[str], models: Iterable[str]) -> list[Unit]:
    """Return the units of these names. Raise ValueError for an invalid name, an unknown model or too many units."""
    units = [Unit.parse(name) for name in names]
    known = set(models)
    for unit in units:
        if unit.name not in known:
            raise ValueError(f"{unit} is of no model in serving_models")
    if many := [name for name, count in Counter(unit.name for unit in units).items() if count > MOST]:
        raise ValueError(f"more than {MOST} versions of {many[0]!r} shall run")
    return units


def systemctl(*arguments: str) -> str:
    """Run systemctl; return what it prints."""
    done = subprocess.run([*SYSTEMCTL, *arguments], check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        print(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}", file=sys.stderr)
    return done.stdout


def running() -> set[str]:
    """Return the names of all instances that have a running, waiting or failed unit."""
    found = systemctl(
        "list-units", "--all", "--plain", "--no-legend", "--full", f"{TEMPLATE}@*.service", f"{TEMPLATE}@*.socket"
    )
    names = (line.split()[0] for line in found.splitlines() if line.strip())
    return {name.partition("@")[2].rpartition(".")[0] for name in names}


def in_background(state: Path, unit: Unit) -> bool:
    """Return whether a version is a challenger, which serves no clients."""
    try:
        about = json.loads(read_regular(state / "models" / str(unit) / "about.json", MOST_BYTES))
        return isinstance(about, dict) and about.get("challenger") is True
    except (OSError, ValueError, RecursionError):
        return False


def give_user(unit: Unit, background: bool) -> bool:
    """Give a version's unit its own dynamic user, and return whether systemd has to reload its units.

    With `background` the unit gets the lowest priority.
    """
    path = UNITS / f"{TEMPLATE}@{unit.instance}.service.d" / "user.conf"
    text = f"[Service]\nUser=served-{hashlib.sha256(str(unit).encode()).hexdigest()[:16]}\n"
    if background:
        text += BACKGROUND
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return True


def apply(state: Path, units: Sequence[Unit]) -> None:
    """Start the wanted units, sockets first, and stop all others. Do not wait until versions have loaded or drained."""
    wanted = {unit.instance for unit in units}
    for unit in units:
        folder = state / "log" / str(unit)
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is missing")
    sockets = [f"{TEMPLATE}@{name}.socket" for name in sorted(wanted)]
    services = [f"{TEMPLATE}@{name}.service" for name in sorted(wanted)]
    others = sorted(running() - wanted)
    given = [give_user(unit, in_background(state, unit)) for unit in units]
    if any(given):
        systemctl("daemon-reload")
    if sockets:
        systemctl("start", *sockets)
        systemctl("start", "--no-block", *services)
    if others:
        ended = [f"{TEMPLATE}@{name}.{kind}" for name in others for kind in ("socket", "service")]
        systemctl("stop", "--no-block", *ended)
        systemctl("reset-failed", *ended)
        for name in others:
            shutil.rmtree(UNITS / f"{TEMPLATE}@{name}.service.d", ignore_errors=True)


def main() -> int:
    """Apply STATE/wanted.json; return the exit code."""
    state, settings = Path(sys.argv[1]), Path(sys.argv[2])
    path = state / "wanted.json"
    try:
        models = [model["name"] for model in json.loads(settings.read_text())["models"]]
        apply(state, allowed(read(path), models))
    except FileNotFoundError as error:
        if path.exists():
            print(error, file=sys.stderr)
            return 1
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
