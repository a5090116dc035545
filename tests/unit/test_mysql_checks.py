"""Checks of MySQL and MariaDB: invalid settings are refused, and upgrades stay within a release series."""

from typing import Any

import pytest
from mysql_checks import apt_policy, apt_source, mysql_pending, mysql_problems

SETTINGS: dict[str, Any] = {
    "mysql_flavor": "mysql",
    "mysql_repository": {"uris": "x", "suites": "x", "components": "x", "packages": ["x"], "key": "x"},
    "mysql_innodb_buffer_pool_size": "128M",
}
POLICY = "mysql-server:\n  Installed: 8.4.6-1debian13\n  Candidate: 8.4.7-1debian13\n  Version table:\n"


@pytest.mark.parametrize("size", [1023, "1047552K", "1023M", "0G"])
@pytest.mark.parametrize(("flavor", "distribution"), [("mysql", "Debian"), ("mariadb", "Debian"), ("mysql", "Ubuntu")])
def test_good_settings_pass(size: Any, flavor: str, distribution: str) -> None:
    repository = SETTINGS["mysql_repository"] if flavor == "mysql" and distribution == "Debian" else {}
    given = {"mysql_flavor": flavor, "mysql_repository": repository, "mysql_innodb_buffer_pool_size": size}
    assert mysql_problems(given, "vm", 2048, distribution) == []


@pytest.mark.parametrize("size", ["1G", "1024M", "1048576K", 2**30, "plenty", "", "-1M", "1.5M", "1T"])
def test_a_pool_that_does_not_fit_is_refused(size: Any) -> None:
    assert mysql_problems({**SETTINGS, "mysql_innodb_buffer_pool_size": size}, "vm", 2049, "Debian") == [
        f"mysql_innodb_buffer_pool_size is {size}: give it a number with K, M or G, and less than 1024M, half of what "
        "vm has for everything."
    ]


def test_a_repository_that_lacks_a_part_is_refused() -> None:
    sentence = "mysql_repository lacks suites, components, packages, key or signed_by: see its example"
    [problem] = mysql_problems({**SETTINGS, "mysql_repository": {"uris": "x"}}, "vm", 4096, "Ubuntu")
    assert problem.startswith(sentence)


def test_debian_needs_a_repository_for_mysql() -> None:
    [problem] = mysql_problems({**SETTINGS, "mysql_repository": {}}, "vm", 4096, "Debian")
    assert problem.startswith("mysql_repository is empty, and Debian has no MySQL of its own: ")


def test_the_versions_of_apt_are_read() -> None:
    assert apt_policy(POLICY) == {"installed": "8.4.6-1debian13", "candidate": "8.4.7-1debian13"}
    assert apt_policy("") == {"installed": "(none)", "candidate": "(none)"}


@pytest.mark.parametrize(
    ("flavor", "before", "after", "line"),
    [
        ("mysql", "8.4.6-1", "8.4.7-1", ["mysql 8.4.6-1 -> 8.4.7-1"]),
        ("mysql", "8.4.6-1", "9.7.0-1", ["mysql 8.4.6-1 -> 9.7.0-1"]),
        ("mysql", "8.4.6-1", "8.4.6-1", []),
        ("mysql", "8.0.40-1", "9.7.0-1", []),
        ("mariadb", "8.4.6-1", "9.7.0-1", []),
        (
            "mariadb",
            "1:10.11.6-0+deb12u1",
            "1:10.11.11-0+deb12u1",
            ["mariadb 1:10.11.6-0+deb12u1 -> 1:10.11.11-0+deb12u1"],
        ),
        ("mariadb", "1:10.11.6-0", "1:11.8.3-0", []),
        ("mysql", "(none)", "8.4.7-1", []),
        ("mysql", "8.4.7-1", "(none)", []),
    ],
)
def test_a_newer_version_of_the_same_series_gets_a_line(flavor: str, before: str, after: str, line: list[str]) -> None:
    assert mysql_pending({"installed": before, "candidate": after}, "", flavor, "mysql-server") == line


def test_an_unconfigured_package_gets_a_line_though_nothing_is_newer() -> None:
    versions = {"installed": "9.7.0-1", "candidate": "9.7.0-1"}
    assert mysql_pending(versions, " mysql-server  MySQL", "mysql", "mysql-server") == [
        "mysql 9.7.0-1, which is not configured -> 9.7.0-1"
    ]


def test_a_source_is_named_as_apt_names_it() -> None:
    assert apt_source("https://repo.mysql.com/apt/debian/", "trixie") == "repo.mysql.com/apt/debian trixie"
    assert apt_source("http://ada:x@mirror.example.org:8080/mysql", "x") == "mirror.example.org/mysql x"
