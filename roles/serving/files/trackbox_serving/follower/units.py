"""Request the units of versions, and link their sockets for NGINX. The follower itself does not start units."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from trackbox_serving.files import write_json
from trackbox_serving.names import Unit
from trackbox_serving.settings import Settings
from trackbox_serving.version import Version

# The links in RUN/MODEL that NGINX connects to. The folder BY_NUMBER has links to versions that clients may request by
# number.
CHAMPION, PREVIOUS, BY_NUMBER = "champion.sock", "previous.sock", "by-number"


def relink(link: Path, target: str | None) -> None:
    """Point a symbolic link to another target atomically, or remove the link if the target is None."""
    if target is None:
        link.unlink(missing_ok=True)
        return
    if link.is_symlink() and str(link.readlink()) == target:
        return
    new = link.with_name(f".{link.name}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)


class Wanted:
    """STATE/wanted.json, which lists the units of all models that must run. A systemd path unit watches the file."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.state / "wanted.json"
        self.units: dict[str, list[str]] = {}
        self.lock = threading.Lock()

    def set(self, name: str, versions: Iterable[str], again: bool = False) -> None:
        """Set which versions of a model must run. `again` rewrites the file, in case systemd missed the last change."""
        with self.lock:
            units = sorted({str(Unit(name, version)) for version in versions})
            if units == self.units.get(name) and not again:
                return
            self.units[name] = units
            write_json(self.path, {"units": sorted(unit for each in self.units.values() for unit in each)})


class Links:
    """The symbolic links in RUN/MODEL to the sockets of one model's versions."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings, self.name = settings, name
        self.folder = settings.run / quote(name, safe="")

    def make_folder(self) -> None:
        """Create the folders that contain the model's links. Their mode allows NGINX to enter them."""
        for folder in (self.folder, self.folder / BY_NUMBER):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)

    def socket(self, version: str) -> Path:
        """Return the socket of a version."""
        return Version(self.settings, self.name, version).socket

    def set(self, live: str | None, previous: str | None) -> None:
        """Point the links to the live and the previous version, and remove links to other versions."""
        numbers = {f"{version}.sock" for version in (live, previous) if version}
        for name in numbers:
            relink(self.folder / BY_NUMBER / name, f"../{name}")
        # Switch to the new version first, and only then change the link to the previous one.
        relink(self.folder / CHAMPION, f"{live}.sock" if live else None)
        relink(self.folder / PREVIOUS, f"{previous}.sock" if previous else None)
        for path in (self.folder / BY_NUMBER).iterdir():
            if path.name not in numbers:
                path.unlink(missing_ok=True)


def forget_others(settings: Settings) -> None:
    """Remove the links and files of models that are no longer served. Their logs stay until they are uploaded."""
    names = {quote(model.name, safe="") for model in settings.models}
    for folder in settings.run.iterdir():
        if folder.is_dir() and (folder / BY_NUMBER).is_dir() and folder.name not in names:
            for link in (CHAMPION, PREVIOUS):
                relink(folder / link, None)
            shutil.rmtree(folder / BY_NUMBER, ignore_errors=True)
    models = settings.state / "models"
    for folder in models.iterdir() if models.is_dir() else ():
        if folder.name not in names:
            shutil.rmtree(folder, ignore_errors=True)
