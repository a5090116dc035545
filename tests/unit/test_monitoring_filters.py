"""Checks of monitoring's settings, and the choice of the units that are restarted or reloaded after a change."""

from __future__ import annotations

from typing import Any

import pytest
from monitoring_checks import monitoring_address_problems, monitoring_problems, proof_days_problems, unit_states

SETTINGS = {
    "monitoring_interval_seconds": 15,
    "monitoring_proof_days": 21,
    "monitoring_repeat_hours": 12,
    "monitoring_retention_days": 90,
    "monitoring_retention_mb": 2048,
}
MOUNTS = [{"mount": "/", "size_total": 20_000_000_000}, {"mount": "/var", "size_total": 4_000_000_000}]


def test_the_defaults_are_accepted() -> None:
    assert monitoring_problems(SETTINGS, [{"mount": "/", "size_total": 20_000_000_000}]) == []
    assert monitoring_problems(SETTINGS, []) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("monitoring_interval_seconds", 4),
        ("monitoring_interval_seconds", 61),
        ("monitoring_proof_days", 0),
        ("monitoring_repeat_hours", 0),
        ("monitoring_retention_days", 0),
        ("monitoring_retention_mb", "255"),
        ("monitoring_retention_mb", 2_000_000),
    ],
)
def test_a_setting_out_of_bounds_is_refused(name: str, value: Any) -> None:
    [said] = monitoring_problems({**SETTINGS, name: value}, [])
    assert said.startswith(f"{name} is {value}: it must be from ")


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        ("weekly", 7),
        ("Sun *-*-* 04:30:00", 7),
        ("sun 04:30", 7),
        ("monthly", 31),
        ("*-*-01 04:30:00", 31),
        ("*-1 04:30", 31),
        ("quarterly", 92),
        ("*-06-01 04:30", 366),
        ("yearly", 366),
        # Of these schedules, the check knows too little.
        ("", 0),
        ("daily", 0),
        ("04:30", 0),
        ("*-*-* 04:30:00", 0),
        ("Sun,Wed *-*-* 04:30", 0),
        ("Mon..Fri 04:30", 0),
        ("*-*-1,15 04:30", 0),
        ("Sun *-*-1..7 04:30", 0),
        ("*-1/3-1 04:30", 0),
    ],
)
def test_restore_tests_that_are_rarer_than_their_limit_are_refused(schedule: str, days: int) -> None:
    assert proof_days_problems(days + 1, schedule) == []
    if days:
        [said] = proof_days_problems(days, schedule)
        assert said == (
            f"monitoring_proof_days is {days}, and backup_proof_schedule ({schedule}) leaves {days} days between two "
            "restore tests, so the alert BackupOld would be raised between them: set monitoring_proof_days to "
            f"{3 * days}."
        )


def test_the_history_may_take_half_of_its_own_disk() -> None:
    [said] = monitoring_problems(SETTINGS, MOUNTS)
    assert said == "monitoring_retention_mb is 2048, more than half of the 4000 MB of the disk at /var: lower it."
    assert monitoring_problems({**SETTINGS, "monitoring_retention_mb": 2000}, MOUNTS) == []
    # The mount point /va is a prefix of the path of the history, but no parent folder of it.
    assert monitoring_problems(SETTINGS, [MOUNTS[0], {"mount": "/va", "size_total": 1}]) == []


def test_metrics_are_not_offered_to_the_network() -> None:
    assert monitoring_address_problems({"a": "127.0.0.1:9490", "b": "localhost:9491"}) == []
    [said] = monitoring_address_problems({"trackbox_prometheus_address": "0.0.0.0:9490"})
    assert said.startswith("trackbox_prometheus_address is 0.0.0.0:9490: metrics are for the machine itself")


def test_a_unit_is_restarted_if_it_changed_and_reloaded_if_it_reads_its_settings_again() -> None:
    readers = {"rules.yml": {"a.service": "reloaded"}, "b.cnf": {"b.service": "restarted"}}
    units = ["a.service", "b.service", "c.service"]

    def states(units_changed: list[str], changed: list[str]) -> list[str]:
        return [each["state"] for each in unit_states(units, units_changed, changed, readers)]

    assert states([], []) == ["started"] * 3
    assert states([], ["/etc/x/rules.yml", "/etc/other"]) == ["reloaded", "started", "started"]
    assert states(["/etc/systemd/system/a.service"], ["/etc/x/rules.yml", "/etc/x/b.cnf"]) == [
        "restarted",
        "restarted",
        "started",
    ]
