"""Try new packages and a new program with the served versions, and switch to them, or back to the old ones, as root.

    python3 -m trackbox_serving.switch try STAGED STATE
    python3 -m trackbox_serving.switch change STAGED OLD STATE

STAGED contains the new units and settings, by their paths below /. `try` also prepares new environments for versions
that have their own, because these contain the server's packages, too. `change` keeps the current units and settings in
OLD until it has ended, so it can be repeated after an interruption. Sockets stay open, so requests wait while a version
loads.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from http.client import HTTPException
from pathlib import Path

from trackbox_serving.environments.place import WANTED, Needs, Result
from trackbox_serving.files import write_json
from trackbox_serving.follower.unix import ask
from trackbox_serving.names import Unit
from trackbox_serving.settings import PATH, SettingsError, load
from trackbox_serving.start_units import SYSTEMCTL, TEMPLATE, UNITS, read
from trackbox_serving.version import Version

ROOT = Path("/")
SERVICE = Path(f"etc/systemd/system/{TEMPLATE}@.service")
FOLLOWER, PATH_UNIT = f"{TEMPLATE}-follower.service", f"{TEMPLATE}-units.path"
# A trial's unit loads a version and ends. It is a copy of the version's unit without the socket and the log. Lines that
# begin with a word of REPLACED are removed, and OWN_LINES are added.
TRIAL = f"{TEMPLATE}-trial"
REPLACED = ("Requires=", "After=", "Type=", "Restart=", "ExecStart=", "ExecStopPost=", "BindPaths=")
OWN_LINES = """[Service]
Type=oneshot
ExecStart={command} trackbox_serving.try_version %I
BindReadOnlyPaths={settings}:{path}
"""
# The unit that prepares environments, and a copy of it for trials. The copy reads the requests from another folder.
ENVIRONMENTS, ENVIRONMENTS_TRIAL = f"{TEMPLATE}-environments.service", f"{TEMPLATE}-trial-environments.service"
# Seconds that a version has for its first response, after systemd has reported its start.
ANSWERS = 30
# The file in OLD that lists the versions that were served before the switch.
SERVED = "versions.json"


# Timeout of a command in seconds. Environments of versions are prepared one after the other, each for up to
# serving_environment_seconds.
LONGEST = 7200


class FailedError(Exception):
    """A version or the follower does not work. The message says which, and why."""


ERRORS = (FailedError, OSError, ValueError, SettingsError, subprocess.SubprocessError)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command; return its result."""
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=LONGEST)


def systemctl(*arguments: str) -> bool:
    """Run systemctl; return whether it succeeded."""
    return run(*SYSTEMCTL, *arguments).returncode == 0


def served(state: Path) -> list[Unit]:
    """Return the versions that wanted.json lists and whose units run."""
    path = state / "wanted.json"
    units = [Unit.parse(name) for name in read(path)] if path.exists() else []
    return [unit for unit in units if systemctl("is-active", "--quiet", service(unit))]


def service(unit: Unit, template: str = TEMPLATE) -> str:
    """Return the name of a version's service for systemd."""
    return f"{template}@{unit.instance}.service"


def staged_files(staged: Path) -> list[Path]:
    """Return the paths of all files in STAGED, relative to STAGED."""
    return sorted(path.relative_to(staged) for path in staged.rglob("*") if path.is_file())


def put(source: Path, paths: Sequence[Path]) -> None:
    """Copy these files from `source` to the system; delete those that `source` lacks. Reload systemd's units."""
    for path in paths:
        target = ROOT / path
        if not (source / path).exists():
            target.unlink(missing_ok=True)
            continue
        new = target.with_name(f".{target.name}.new")
        shutil.copy2(source / path, new)
        new.replace(target)
    systemctl("daemon-reload")


def keep(staged: Path, old: Path, state: Path) -> list[Unit]:
    """Save the current files and served versions in OLD, if OLD does not exist yet. Return the saved versions."""
    if not old.exists():
        new = old.with_name(f"{old.name}.part")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        for path in staged_files(staged):
            if (ROOT / path).exists():
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, new / path)
        write_json(new / SERVED, {"units": [str(unit) for unit in served(state)]})
        new.rename(old)
    return [Unit.parse(name) for name in read(old / SERVED)]


def restart(units: Sequence[Unit]) -> float:
    """Restart the versions one by one, and then the follower. Return the time of the slowest version in seconds.

    Raise FailedError if a version does not respond, or if the follower does not start.
    """
    longest = 0.0
    for unit in units:
        start = time.monotonic()
        if not systemctl("restart", service(unit)):
            raise FailedError(f"version {unit.version} of {unit.name} does not start: {last_words(service(unit))}")
        wait_for(unit)
        longest = max(longest, time.monotonic() - start)
    for name in (PATH_UNIT, FOLLOWER):
        if not systemctl("restart", name):
            raise FailedError(f"{name} does not start: {last_words(name)}")
    return longest


def wait_for(unit: Unit) -> None:
    """Wait until a version responds on its socket. Raise FailedError after ANSWERS seconds."""
    socket, end = Version(load(), unit.name, unit.version).socket, time.monotonic() + ANSWERS
    while True:
        try:
            answer = ask(socket, "/ping", timeout=5)
            if (answer.status, answer.version) == (200, unit.version):
                return
            problem = f"status {answer.status} of version {answer.version or 'none'}"
        except (OSError, HTTPException) as error:
            problem = str(error)
        if time.monotonic() > end:
            raise FailedError(f"version {unit.version} of {unit.name} does not answer: {problem}")
        time.sleep(0.2)


def last_words(name: str) -> str:
    """Return the last line that a unit's processes have written to the journal since its last start."""
    invocation = run(*SYSTEMCTL, "show", "--property=InvocationID", "--value", name).stdout.strip()
    run("journalctl", "--sync")
    fields = [f"_SYSTEMD_INVOCATION_ID={invocation}", "_TRANSPORT=stdout"]
    lines = run("journalctl", "--output=cat", "--no-pager", *fields).stdout.splitlines()
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it wrote nothing")


def trial_unit(text: str, settings: Path) -> str:
    """Return the text of a trial's unit. text: text of a version's unit. settings: path of the new settings."""
    found = re.search(r"^ExecStart=(.*) trackbox_serving\.run_unit %I$", text, re.MULTILINE)
    if found is None:
        raise FailedError("the unit of versions has no known ExecStart")
    kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(REPLACED))
    return kept.replace("[Service]\n", OWN_LINES.format(command=found[1], settings=settings, path=PATH), 1)


def new_needs(staged: Path, units: Sequence[Unit]) -> dict[Unit, tuple[str, Needs]]:
    """Return, for each version with its own environment, the key that it has after the upgrade, and its packages."""
    settings = load(staged / PATH[1:])
    command = re.search(r"^ExecStart=(\S+)", (staged / SERVICE).read_text(), re.MULTILINE)
    # ExecStart begins with the default environment's path: BASE/bin/python.
    base = Path(command[1]).parents[1].name if command else ""
    found = {unit: Version(settings, unit.name, unit.version).read_about().needs for unit in units}
    return {unit: (needs.key(base), needs) for unit, needs in found.items() if needs}


def prepare_environments(staged: Path, units: Sequence[Unit]) -> None:
    """Prepare the versions' own environments with the server's new packages. Raise FailedError if that fails."""
    needed, root = new_needs(staged, units), load(staged / PATH[1:]).environments
    if not needed:
        return
    wanted = {key: {**asdict(needs), "asked": "the upgrade"} for key, needs in needed.values()}
    # Use a folder beside STAGED, because all files in STAGED are copied to /.
    folder, path = staged.with_name(f"{staged.name}-environments"), UNITS / ENVIRONMENTS_TRIAL
    try:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        write_json(folder / WANTED, {"environments": wanted, "keep_others": True}, mode=0o644)
        text = (staged / "etc/systemd/system" / ENVIRONMENTS).read_text()
        path.write_text(re.sub(r"(?m)^BindReadOnlyPaths=(.*)", rf"BindReadOnlyPaths={folder}:\1", text))
        systemctl("daemon-reload")
        systemctl("start", ENVIRONMENTS_TRIAL)
    finally:
        path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    for unit, (key, _) in needed.items():
        result = Result.read(root, key) or Result(unavailable="the unit that prepares them failed")
        if not result.environment:
            words = result.refused or result.unavailable
            raise FailedError(f"version {unit.version} of {unit.name} does not get its own packages with them: {words}")


def try_all(staged: Path, state: Path) -> None:
    """Load each served version once with the new packages and program. Raise FailedError if one does not load."""
    path = UNITS / f"{TRIAL}@.service"
    try:
        units = served(state)
        prepare_environments(staged, units)
        path.write_text(trial_unit((staged / SERVICE).read_text(), staged / PATH[1:]))
        systemctl("daemon-reload")
        for unit in units:
            if not systemctl("start", service(unit, TRIAL)):
                words = last_words(service(unit, TRIAL))
                raise FailedError(f"version {unit.version} of {unit.name} does not load with them: {words}")
    except BaseException:
        # This unit removes the environments that only the trial needs.
        systemctl("start", "--no-block", ENVIRONMENTS)
        raise
    finally:
        path.unlink(missing_ok=True)
        systemctl("reset-failed", f"{TRIAL}@*.service")
        systemctl("daemon-reload")


def change(staged: Path, old: Path, state: Path) -> int:
    """Switch to the staged files, or restore the old files. Return 0, 1 after a restore, 2 if the restore failed."""
    units, paths = keep(staged, old, state), staged_files(staged)
    # Stop the follower, because it would switch traffic to another version if a version did not load.
    systemctl("stop", FOLLOWER)
    try:
        put(staged, paths)
        print(f"{restart(units):.1f}")
        status = 0
    except ERRORS as error:
        print(error, file=sys.stderr)
        systemctl("stop", FOLLOWER)
        put(old, paths)
        try:
            restart(units)
        except ERRORS as again:
            print(again, file=sys.stderr)
            return 2
        status = 1
    shutil.rmtree(old)
    shutil.rmtree(staged)
    return status


def main() -> int:
    """Run the program with its arguments; return the exit code."""
    match sys.argv[1:]:
        case ["try", staged, state]:
            try:
                try_all(Path(staged), Path(state))
            except ERRORS as error:
                print(error, file=sys.stderr)
                return 1
            return 0
        case ["change", staged, old, state]:
            return change(Path(staged), Path(old), Path(state))
    print(__doc__, file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main())
