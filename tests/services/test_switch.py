"""The program that upgrades serving: it creates a unit to try a version, and restores the files that it replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trackbox_serving import switch

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
    """Return a folder: `root` has one file, `staged` the new version of it and a second file. systemctl is `true`."""
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
