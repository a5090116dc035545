"""Checks of MinIO refuse a binary that cannot be installed, and an upgrade to an older release."""

from pathlib import Path
from typing import Any

import pytest
from minio_checks import minio_pending, minio_problems, minio_upgrade_problem

SETTINGS: dict[str, Any] = {
    "minio_source": "build",
    "minio_file": "",
    "minio_archive": {"url": "https://mirror.example.org/minio.tar.gz", "sha256": "0" * 64},
    "minio_checksums": {"amd64": "a" * 64},
    "minio_old_versions_days": 0,
}
NEW, OLD = "RELEASE.2025-10-15T17-29-55Z", "DEVELOPMENT.2025-09-07T16-13-09Z"
FOUND = {"binary": "/opt/trackbox/minio/aaa/minio", "version": f"minio version {OLD} (commit-id=0)"}


@pytest.mark.parametrize("source", ["build", "archive", "file"])
def test_good_settings_pass(source: str) -> None:
    assert minio_problems({**SETTINGS, "minio_source": source, "minio_file": __file__}, "amd64") == []


@pytest.mark.parametrize(
    ("changed", "sentences"),
    [
        (
            {"minio_checksums": {}},
            [
                'minio_source is build, and minio_checksums.amd64 is "": give it the 64 hexadecimal digits of its '
                "SHA-256."
            ],
        ),
        (
            {"minio_source": "archive", "minio_archive": {"url": "", "sha256": "A" * 64}},
            [
                "minio_source is archive, and minio_archive names no url: give it one.",
                f'minio_source is archive, and minio_archive.sha256 is "{"A" * 64}": give it the 64 hexadecimal digits '
                "of its SHA-256.",
            ],
        ),
        (
            {"minio_source": "file", "minio_file": str(Path(__file__).parent)},
            [
                f'minio_file is "{Path(__file__).parent}": there is no such file on the controller; name the binary, '
                "or choose another minio_source."
            ],
        ),
        (
            {"minio_old_versions_days": "-7"},
            ["minio_old_versions_days is -7: it must be 0, which keeps all, or more."],
        ),
    ],
)
def test_a_binary_that_cannot_be_installed_is_refused(changed: dict[str, Any], sentences: list[str]) -> None:
    assert minio_problems({**SETTINGS, **changed}, "amd64") == sentences


def test_what_is_behind_gets_a_line() -> None:
    assert minio_pending(FOUND, "/opt/trackbox/minio/aaa") == []
    behind = f"MinIO {OLD} (aaa) -> bbb"
    assert minio_pending(FOUND, "/opt/trackbox/minio/bbb") == [behind]
    assert minio_pending({**FOUND, "interrupted": "yes"}, "/opt/trackbox/minio/aaa") == [behind.replace("bbb", "aaa")]


@pytest.mark.parametrize(
    ("ran", "before", "said"),
    [
        ({"rc": 0, "stdout": f"minio version {NEW} (commit-id=1)\nRuntime: go1.24"}, OLD, ""),
        ({"rc": 0, "stdout": f"minio version {NEW}"}, NEW, ""),
        (
            {"rc": 0, "stdout": f"minio version {OLD}"},
            NEW,
            f"vm has MinIO {NEW}, and this checkout pins {OLD}: a downgrade is refused, and the newer one goes on.",
        ),
        ({"rc": 1, "msg": "", "stderr": "no"}, OLD, "The new MinIO does not run on vm, and the old one goes on: no"),
        ({"rc": 8, "msg": "Exec format error"}, OLD, "The new MinIO does not run on vm, and the old one goes on: Exec"),
    ],
)
def test_a_binary_that_does_not_run_or_is_older_is_refused(ran: dict[str, Any], before: str, said: str) -> None:
    sentence = minio_upgrade_problem(ran, "vm", before)
    assert sentence.startswith(said)
    assert bool(sentence) == bool(said)
