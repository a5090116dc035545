"""The UI's files are copied for NGINX, together with compressed copies that decompress to the same bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from trackbox_mlflow.maintenance.static_files import gzipped, prepare

TEXT = b"function main() { return 1 }\n" * 100


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Return a folder with files like those of the UI in MLflow's package."""
    files = {
        "static/js/main.c2f5f8d4.js": TEXT,
        "static/media/logo.1e59d2330b4c6deb84b3.png": TEXT,
        "static/js/small.12345678.js": b"1",
        "index.html": TEXT,
    }
    for name, data in files.items():
        path = tmp_path / "build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "build"


def names(folder: Path) -> list[str]:
    """Return the paths of all files of a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_large_text_has_a_compressed_form_and_nothing_else_has(build: Path, tmp_path: Path) -> None:
    prepare(build, tmp_path / "static-files", {".gz": gzipped})
    assert names(tmp_path / "static-files") == sorted([*names(build), "index.html.gz", "static/js/main.c2f5f8d4.js.gz"])
    assert gzip.decompress((tmp_path / "static-files/static/js/main.c2f5f8d4.js.gz").read_bytes()) == TEXT


def test_a_form_that_is_not_smaller_is_left_out(build: Path, tmp_path: Path) -> None:
    prepare(build, tmp_path / "static-files", {".gz": bytes.upper})
    assert names(tmp_path / "static-files") == names(build)


def test_the_folder_is_replaced_whole_also_after_an_interruption(build: Path, tmp_path: Path) -> None:
    for folder in ("static-files", "static-files.new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "old.js").touch()
    prepare(build, tmp_path / "static-files", {})
    assert names(tmp_path / "static-files") == names(build)
    assert not (tmp_path / "static-files.new").exists()


def test_a_file_without_a_hash_in_its_name_gets_a_time_of_its_own(build: Path, tmp_path: Path) -> None:
    prepare(build, tmp_path / "static-files", {})
    assert not (tmp_path / "static-files/index.html").samefile(build / "index.html")
    # Files with a hash in their name are hard links, which take no space.
    assert (tmp_path / "static-files/static/js/main.c2f5f8d4.js").samefile(build / "static/js/main.c2f5f8d4.js")
