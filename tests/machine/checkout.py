"""Functions that copy this checkout, and build and install the collection's archive from a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_checkout(folder: Path) -> None:
    """Copy all files of the checkout that git does not ignore into a folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)


def run(command: list[str], folder: Path, status: int = 0) -> str:
    """Run a command of Ansible in a folder, which is also HOME and contains the collections; return the output."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    own |= {"HOME": str(folder), "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections")}
    own["MOLECULE_PROJECT_DIRECTORY"] = str(ROOT)
    tool = str(Path(sys.executable).with_name(command[0]))
    done = subprocess.run(
        [tool, *command[1:]], cwd=folder, env=own, capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def build_collection(checkout: Path, folder: Path) -> Path:
    """Build the collection's archive in a folder, and return its path."""
    run(["ansible-galaxy", "collection", "build", "--output-path", str(folder)], checkout)
    return next(folder.glob("trackbox-workbench-*.tar.gz"))


def install_collection(archive: Path, folder: Path) -> None:
    """Install an archive into folder/collections without its dependencies, which the package ansible contains."""
    run(["ansible-galaxy", "collection", "install", "--no-deps", "-p", "collections", str(archive)], folder)
