"""Filters with which verify.yml reads the lock files of Python environments."""

import hashlib

from programs import locked

LOCK = """\
# made by uv
alpha==1.0 \\
    --hash=sha256:00
Beta_x[extra]==2.0.post1 ; python_full_version < '3.12' \\
    --hash=sha256:01
beta-x==2.1 ; python_full_version >= '3.12' \\
    --hash=sha256:02
"""


def test_a_lock_names_packages_with_versions_and_those_that_every_python_needs() -> None:
    found = locked(LOCK)
    assert found["lock"] == [["alpha", "1.0"], ["beta-x", "2.0.post1"], ["beta-x", "2.1"]]
    assert found["needs"] == ["alpha"]


def test_the_mark_is_of_the_lock_byte_for_byte() -> None:
    assert locked(LOCK)["mark"] == f"lock-{hashlib.sha256(LOCK.encode()).hexdigest()[:12]}"
    assert locked(LOCK + "\n")["mark"] != locked(LOCK)["mark"]
