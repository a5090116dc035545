"""Ask for units of versions, and link the sockets by which NGINX reaches them. The follower starts nothing itself."""

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

# In RUN/MODEL: the links that NGINX connects to. Those of versions by number lead to versions that may be asked for.
CHAMPION, PREVIOUS, BY_NUMBER = "champion.sock", "previous.sock", "by-number"


def relink(link: Path, target: str | None) -> None:
    """Let a link lead elsewhere, without a moment in which it leads nowhere; None removes it."""
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
    """STATE/wanted.json: the units that shall run, of all models. A path unit watches it."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.state / "wanted.json"
        self.units: dict[str, list[str]] = {}
        self.lock = threading.Lock()

    def set(self, name: str, versions: Iterable[str], again: bool = False) -> None:
        """Say which versions of a model shall run. again: say it once more, for a watcher that may have missed it."""
        with self.lock:
            units = sorted({str(Unit(name, version)) for version in versions})
            if units == self.units.get(name) and not again:
                return
            self.units[name] = units
            write_json(self.path, {"units": sorted(unit for each in self.units.values() for unit in each)})


class Links:
    """The links of one model in RUN/MODEL."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings, self.name = settings, name
        self.folder = settings.run / quote(name, safe="")

    def make_folder(self) -> None:
        """Make the folder, which NGINX may pass."""
        for folder in (self.folder, self.folder / BY_NUMBER):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)

    def socket(self, version: str) -> Path:
        """Return the socket of a version."""
        return Version(self.settings, self.name, version).socket

    def set(self, live: str | None, previous: str | None) -> None:
        """Lead clients to these versions."""
        numbers = {f"{version}.sock" for version in (live, previous) if version}
        for name in numbers:
            relink(self.folder / BY_NUMBER / name, f"../{name}")
        # The new version first: a client that finds no champion any more finds the previous one.
        relink(self.folder / CHAMPION, f"{live}.sock" if live else None)
        relink(self.folder / PREVIOUS, f"{previous}.sock" if previous else None)
        for path in (self.folder / BY_NUMBER).iterdir():
            if path.name not in numbers:
                path.unlink(missing_ok=True)


def forget_others(settings: Settings) -> None:
    """Remove the links, models and logs' folders of models that are not served any more; logs that wait stay."""
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
