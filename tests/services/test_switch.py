"""The program that upgrades serving: it creates a unit to try a version, and restores the files that it replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trackbox_serving import switch
from trackbox_serving.environments.place import Needs, Result
from trackbox_serving.names import Unit
from trackbox_serving.settings import Settings
from trackbox_serving.version import About, Version

TEMPLATE = Path(__file__).parents[2] / "roles/serving/templates/trackbox-serving@.service.j2"


def test_the_trial_has_the_limits_of_a_version_but_neither_its_socket_nor_its_log() -> None:
    text = TEMPLATE.read_text()
    lines = switch.trial_unit(text, Path("/new/serving.json")).splitlines()
    for word in ("Requires=", "After=", "Restart=", "ExecStopPost=", "BindPaths="):
        assert any(line.startswith(word) for line in text.splitlines()), word
        assert not any(line.startswith(word) for line in lines), word
    assert [line for line in lines if line.startswith(switch.REPLACED)] == [
        "Type=oneshot",
        "ExecStart={{ __serving_environment }}/bin/python -B -W ignore::UserWarning -m trackbox_serving.try_version %I",
    ]
    assert "BindReadOnlyPaths=/new/serving.json:/etc/trackbox/serving.json" in lines
    # The trial's unit keeps all remaining lines of the version's unit, such as the user, the sandbox and the limits.
    assert set(text.splitlines()) - set(lines) == {
        line for line in text.splitlines() if line.startswith(switch.REPLACED)
    }


def test_a_unit_of_another_form_is_refused() -> None:
    with pytest.raises(switch.FailedError, match="no known ExecStart"):
        switch.trial_unit("[Service]\nExecStart=/bin/true\n", Path("/new"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder: `root` contains a file, `staged` its new version and another file. systemctl does nothing."""
    monkeypatch.setattr(switch, "ROOT", tmp_path / "root")
    monkeypatch.setattr(switch, "SYSTEMCTL", ("true",))
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/unit").write_text("old")
    (tmp_path / "staged/etc").mkdir(parents=True)
    (tmp_path / "staged/etc/unit").write_text("new")
    (tmp_path / "staged/etc/other").write_text("new")
    (tmp_path / "wanted.json").write_text(json.dumps({"units": ["fraud/2"]}))
    return tmp_path


def test_the_old_files_come_back_and_new_ones_are_removed(root: Path) -> None:
    staged, old = root / "staged", root / "old"
    assert [str(unit) for unit in switch.keep(staged, old, root)] == ["fraud/2"]
    paths = switch.staged_files(staged)
    switch.put(staged, paths)
    assert sorted(path.name for path in (root / "root/etc").iterdir()) == ["other", "unit"]
    assert (root / "root/etc/unit").read_text() == "new"
    switch.put(old, paths)
    assert [path.name for path in (root / "root/etc").iterdir()] == ["unit"]
    assert (root / "root/etc/unit").read_text() == "old"


def test_an_interrupted_switch_keeps_the_files_and_versions_of_before(root: Path) -> None:
    staged, old = root / "staged", root / "old"
    switch.keep(staged, old, root)
    switch.put(staged, switch.staged_files(staged))
    (root / "wanted.json").write_text(json.dumps({"units": []}))
    assert [str(unit) for unit in switch.keep(staged, old, root)] == ["fraud/2"]
    assert (old / "etc/unit").read_text() == "old"


def test_environments_of_versions_are_prepared_for_the_new_packages_before_the_versions_are_tried(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "UNITS", root)
    state, packages, staged = (root / name for name in ("state", "packages", "staged"))
    (staged / "etc/trackbox").mkdir()
    (staged / "etc/trackbox/serving.json").write_text(json.dumps({"state": str(state), "environments": str(packages)}))
    folder = staged / "etc/systemd/system"
    folder.mkdir(parents=True)
    command = "/opt/environment-new/bin/python -B"
    (folder / "trackbox-serving@.service").write_text(
        f"[Service]\nExecStart={command} -m trackbox_serving.run_unit %I\n"
    )
    (folder / switch.ENVIRONMENTS).write_text(f"[Service]\nBindReadOnlyPaths={state}/environments\n")
    needs, units = Needs(("numpy<2",)), [Unit("fraud", "1"), Unit("fraud", "2")]
    for unit, own in zip(units, (needs, Needs()), strict=True):
        version = Version(Settings(state=state), unit.name, unit.version)
        version.folder.mkdir(parents=True)
        version.write_about(About(unit.name, unit.version, needs=own))
    key = needs.key("environment-new")
    assert switch.new_needs(staged, units) == {units[0]: (key, needs)}
    # Replace systemctl by a script that saves the unit and the requests that exist when it is called.
    script = root / "systemctl"
    script.write_text(
        f"#!/bin/sh\ncp {root}/{switch.ENVIRONMENTS_TRIAL} {staged}-environments/wanted.json {root}/seen/\n"
    )
    script.chmod(0o755)
    (root / "seen").mkdir()
    monkeypatch.setattr(switch, "SYSTEMCTL", (str(script),))
    with pytest.raises(
        switch.FailedError, match="version 1 of fraud does not get its own packages with them: the unit"
    ):
        switch.prepare_environments(staged, units)
    unit_text = (root / "seen" / switch.ENVIRONMENTS_TRIAL).read_text()
    assert f"BindReadOnlyPaths={staged}-environments:{state}/environments\n" in unit_text
    asked = json.loads((root / "seen/wanted.json").read_text())
    assert (list(asked["environments"]), asked["keep_others"]) == ([key], True)
    packages.mkdir()
    Result(refused="no wheel fits").write(packages, key)
    with pytest.raises(switch.FailedError, match="no wheel fits"):
        switch.prepare_environments(staged, units)
    (packages / ("0" * 16)).mkdir()
    Result(environment="0" * 16).write(packages, key)
    switch.prepare_environments(staged, units)
    # The temporary unit and the folder with the requests are removed.
    assert not (root / switch.ENVIRONMENTS_TRIAL).exists()
    assert not staged.with_name("staged-environments").exists()
