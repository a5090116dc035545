"""Filters that parse lists of a machine's packages, users and files, and compare packages of two points in time."""

from lifecycle import packages_since, seen


def test_what_came_and_what_changed_since_is_told_apart() -> None:
    before = ["installed:libc6:2.41-12", "config-files:exim4:4", "installed:zlib1g:1:1.3", "service:nginx"]
    now = ["installed:libc6:2.43-7", "installed:nginx:1.26.3", "installed:zlib1g:1:1.3"]
    assert packages_since(before, now) == {"came": ["nginx"], "changed": ["libc6 2.41-12 -> 2.43-7"]}


def test_what_was_looked_at_is_told_apart() -> None:
    lines = ["installed:nginx:1.26", "config-files:old:1", "user:minio:/var/lib/minio:/usr/sbin/nologin"]
    found = seen("\n".join([*lines, "group:trackbox", "path:/opt/trackbox/mlflow/current -> 3.17.2-40fac1c4"]))
    assert {kind: things for kind, things in found.items() if things} == {
        "installed": ["nginx"],
        "user": ["minio:/var/lib/minio:/usr/sbin/nologin"],
        "group": ["trackbox"],
        "path": ["/opt/trackbox/mlflow/current -> 3.17.2-40fac1c4"],
    }
    assert seen("")["installed"] == []
