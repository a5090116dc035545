"""Garbage collection permanently removes entries deleted in MLflow more than mlflow_gc_days ago, and no others."""

from __future__ import annotations

import json

import pytest
from machine import Machine
from testinfra.host import Host

UNIT, STATE = "trackbox-gc@collect", "/var/lib/trackbox/garbage"
LONG = 31 * 86_400_000


def sql(host: Host, text: str) -> list[str]:
    """Run a query in the database; return the first column."""
    return [str(line) for line in host.check_output("mysql --batch --skip-column-names mlflow -e %s", text).split()]


def files(host: Host, ids: dict[str, str]) -> set[str]:
    """Return the names in `ids` whose id has files in the artifact store."""
    paths = host.check_output("find /var/lib/minio/mlflow -name xl.meta")
    return {name for name, value in ids.items() if f"/{value}/" in paths}


def rows(host: Host, ids: dict[str, str]) -> set[str]:
    """Return the names in `ids` whose id is in the database."""
    queries = ("run_uuid FROM runs", "model_id FROM logged_models", "experiment_id FROM experiments")
    known = {row for query in queries for row in sql(host, f"SELECT {query}")}
    return {name for name, value in ids.items() if value in known}


def dry_run(machine: Machine) -> str:
    """Run garbage.yml in check mode; return its output."""
    return machine.play("--check", playbook="playbooks/garbage.yml")


@pytest.fixture(scope="module")
def ids(machine: Machine, host: Host) -> dict[str, str]:
    """Run client_garbage.py; return the ids of the created entries, by name.

    Before the return, move the time of each deletion except that of `fresh` to more than mlflow_gc_days ago, and delete
    the database row of the model `orphan`.
    """
    made: dict[str, str] = json.loads(machine.run_client("client_garbage.py").splitlines()[-1])
    earlier = f"UPDATE {{0}} SET {{1}} = {{1}} - {LONG} WHERE {{2}}"
    for name in ("live", "old", "restored", "registered", "inside"):
        sql(host, earlier.format("runs", "deleted_time", f'run_uuid = "{made[name]}"'))
    sql(host, earlier.format("experiments", "last_update_time", f"experiment_id = {made['garbage-gone']}"))
    sql(host, earlier.format("logged_models", "last_updated_timestamp_ms", f'model_id = "{made["model"]}"'))
    sql(host, f'DELETE FROM logged_models WHERE model_id = "{made["orphan"]}"')
    return made


def test_a_dry_run_lists_deletions_and_changes_nothing(machine: Machine, host: Host, ids: dict[str, str]) -> None:
    before = files(host, ids), rows(host, ids)
    said = dry_run(machine)
    for name, what in {"old": "run", "inside": "run", "model": "model", "garbage-gone": "experiment"}.items():
        assert f"Would collect {what} {ids[name]}" in said
    assert f"Keep run {ids['registered']}: a registered model uses its files" in said
    for name in ("live", "fresh", "restored", "orphan"):
        assert f"collect run {ids[name]}" not in said
    assert (files(host, ids), rows(host, ids)) == before


def test_with_0_days_nothing_is_deleted(host: Host, ids: dict[str, str]) -> None:
    before = rows(host, ids)
    unit = "/run/systemd/system/test-gc@.service"
    host.check_output(f"sed 's/%i [0-9]*$/%i 0/' '/etc/systemd/system/trackbox-gc@.service' >{unit}")
    host.check_output("systemctl daemon-reload")
    try:
        assert host.run("systemctl start test-gc@collect").rc != 0
        assert "that was deleted is kept" in json.loads(host.file(f"{STATE}/last.json").content_string)["error"]
    finally:
        host.check_output(f"rm {unit}; systemctl daemon-reload; systemctl reset-failed")
    assert rows(host, ids) == before


def test_it_refuses_during_a_backup_or_another_playbook(host: Host, ids: dict[str, str]) -> None:
    before = rows(host, ids)
    host.check_output("systemd-run --quiet --unit=test-holds flock /run/trackbox.lock sleep 60")
    try:
        assert host.run(f"systemctl start {UNIT}").rc != 0
        last = json.loads(host.file(f"{STATE}/last.json").content_string)
        assert last["error"] == "Nothing was collected: a backup, restore, upgrade, rotation or removal is at work."
        assert "trackbox_garbage_failed 1" in host.file(f"{STATE}/trackbox_garbage.prom").content_string
    finally:
        host.check_output("systemctl stop test-holds")
    assert rows(host, ids) == before


def test_only_old_deletions_are_collected(machine: Machine, host: Host, ids: dict[str, str]) -> None:
    assert "changed=1 " in machine.play(playbook="playbooks/garbage.yml")
    stay = {"live", "fresh", "restored", "registered"}
    assert rows(host, ids) == stay | {"garbage"}
    assert files(host, ids) == stay | {"garbage", "orphan"}
    last = json.loads(host.file(f"{STATE}/last.json").content_string)
    assert last["error"] == ""
    assert (last["runs"], last["models"], last["experiments"]) >= (2, 1, 1)
    assert last["bytes"] > 2000
    assert "changed=0 " in machine.play(playbook="playbooks/garbage.yml")


def age(host: Host, file: str, change: str) -> None:
    """Change a number in a state file of the garbage collection."""
    host.check_output(
        "python3 -c %s",
        f"import json, pathlib; file = pathlib.Path('{STATE}/{file}'); it = json.loads(file.read_text()); "
        f"{change}; file.write_text(json.dumps(it))",
    )


def test_one_collection_is_skipped_after_a_clock_jump_or_a_long_pause(host: Host, ids: dict[str, str]) -> None:
    for change in (f"it['time'] -= {LONG / 1000}", f"it['time'] -= {LONG / 500 + 1}; it['boot'] = 'another'"):
        host.check_output(f"systemctl start {UNIT}")
        age(host, "clock.json", change)
        assert host.run(f"systemctl start {UNIT}").rc != 0
        error = json.loads(host.file(f"{STATE}/last.json").content_string)["error"]
        assert error.startswith("Nothing was collected: since the last time the clock was put forward by")
    host.check_output(f"systemctl start {UNIT}")


def test_files_without_a_row_are_deleted_after_the_waiting_time(host: Host, ids: dict[str, str]) -> None:
    folder = f"{ids['garbage']}/models/{ids['orphan']}/"
    age(host, "unreferenced.json", f"it['{folder}'] -= {LONG / 1000}")
    host.check_output(f"systemctl start {UNIT}")
    assert files(host, ids) == {"live", "fresh", "restored", "registered", "garbage"}


def test_the_timer_is_enabled(host: Host) -> None:
    assert host.check_output("systemctl show -P Unit trackbox-gc.timer") == f"{UNIT}.service"
    assert host.check_output("systemctl is-active trackbox-gc.timer") == "active"
