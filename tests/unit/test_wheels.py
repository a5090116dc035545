"""The filter that decides whether a training package must be built and installed again."""

import os
from pathlib import Path

from training_checks import folder_state


def test_a_package_is_built_again_when_a_file_comes_goes_or_changes(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    module = tmp_path / "src/module.py"
    states = [folder_state(str(tmp_path))]
    for change in (
        lambda: module.write_text("a"),
        lambda: module.write_text("ab"),
        lambda: os.utime(module, (1, 1)),
        lambda: module.chmod(0o755),
        lambda: module.rename(module.with_name("other.py")),
    ):
        change()
        states.append(folder_state(str(tmp_path)))
    assert len(set(states)) == len(states)


def test_a_package_is_built_again_when_the_target_of_a_link_changes(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    shared = tmp_path / "shared.py"
    shared.write_text("a")
    (tmp_path / "package/module.py").symlink_to("../shared.py")
    before = folder_state(str(tmp_path / "package"))
    shared.write_text("ab")
    assert folder_state(str(tmp_path / "package")) != before


def test_what_no_wheel_has_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "module.py").touch()
    before = folder_state(str(tmp_path))
    for name in (".mypy_cache/a", "__pycache__/module.pyc", "fraud.egg-info/SOURCES.txt", "venv/pyvenv.cfg", "build/a"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert folder_state(str(tmp_path)) == before
