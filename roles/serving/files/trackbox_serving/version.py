"""A version of a registered model on this machine: its folders, its socket, and about.json beside its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from urllib.parse import quote

from trackbox_serving.environments.place import Needs
from trackbox_serving.files import write_json
from trackbox_serving.settings import Settings


@dataclass(frozen=True)
class About:
    """What the registry says about a version. The follower writes it to about.json before the version's unit starts.

    Attributes:
        name: name of the registered model.
        version: number of the version.
        run_id: identifier of the run that logged the model.
        alias: alias by which the follower found the version.
        since: when the follower found it, ISO 8601 in UTC.
        promoted_by: who set the alias, as far as the registry knows.
        threshold: score from which a row is flagged, or None if the version has no threshold.
        allow_code: whether Python code that was logged with the model may run.
        challenger: whether the version scores logged rows in the background, and serves no clients.
        made: when the version was registered, in ms since 1970, or empty if this is unknown.
        needs: packages of the version's own environment. Empty if the default environment satisfies the version.

    """

    name: str
    version: str
    run_id: str = ""
    alias: str = ""
    since: str = ""
    promoted_by: str = ""
    threshold: float | None = None
    allow_code: bool = False
    challenger: bool = False
    made: str = ""
    needs: Needs = field(default_factory=Needs)


@dataclass(frozen=True)
class Version:
    """The paths of a version on this machine. A model may have any name, so the name is URL-quoted in paths."""

    settings: Settings
    name: str
    version: str

    @property
    def folder(self) -> Path:
        """The folder with the model and about.json."""
        return self.settings.state / "models" / quote(self.name, safe="") / self.version

    @property
    def model(self) -> Path:
        """MLflow's folder of the model, with the file MLmodel."""
        return self.folder / "model"

    @property
    def log(self) -> Path:
        """The folder of the request log."""
        return self.settings.state / "log" / quote(self.name, safe="") / self.version

    @property
    def socket(self) -> Path:
        """The socket at which the version is served."""
        return self.settings.run / quote(self.name, safe="") / f"{self.version}.sock"

    def read_about(self) -> About:
        """Read about.json, without fields unknown to this release. Raise OSError or ValueError if it is broken."""
        given = json.loads((self.folder / "about.json").read_text())
        known = {each.name for each in fields(About)}
        values = {name: value for name, value in given.items() if name in known}
        if "needs" in values:
            values["needs"] = Needs.read(values["needs"])
        return About(**values)

    def write_about(self, about: About) -> None:
        """Replace about.json atomically."""
        write_json(self.folder / "about.json", asdict(about))
