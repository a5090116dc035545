"""The check of the folder minio_data_dir."""

import pytest
from minio_checks import folder_problems


@pytest.mark.parametrize("folder", ["/var/lib/minio", "/srv/objects", "/data", "/mnt/disk-2/a_b@c+d.e", "/homes/minio"])
def test_a_folder_of_its_own_passes(folder: str) -> None:
    assert folder_problems(folder) == []


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "objects",
        "/",
        "/srv/objects/",
        "/srv//objects",
        "/srv/two words",
        "/srv/50%",
        "/srv/$x",
        "/srv/*",
        "/srv/../x",
    ]
    + ["/srv/a\nb", "/srv/.hidden", "/srv/objéts", "/srv/a'b", "/srv/a:b"],
)
def test_a_path_that_a_unit_or_a_shell_would_read_otherwise_is_refused(folder: str) -> None:
    [sentence] = folder_problems(folder)
    assert sentence.startswith(f"minio_data_dir is {folder!r}: give it an absolute path")


@pytest.mark.parametrize(
    "folder", ["/srv", "/mnt", "/var/lib", "/etc", "/home/minio", "/tmp/objects", "/run/x", "/var/lib/mysql"]
)
def test_a_folder_of_the_system_is_refused(folder: str) -> None:
    [sentence] = folder_problems(folder)
    assert sentence.startswith(f"minio_data_dir is {folder}, a folder of the system")
