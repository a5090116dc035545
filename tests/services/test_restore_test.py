"""The restore test with a real MinIO, and fake MySQL and restic. The scenario `backup` has the real ones."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("minio")
from backed_up import DUMP, last, machine, made, objects
from servers import s3_endpoint
from trackbox_backup import __main__ as program
from trackbox_backup import backup, proof, settings
from trackbox_backup.database import Database
from trackbox_backup.lock import locked
from trackbox_backup.objects import Hashing
from trackbox_backup.refused import Inconclusive, Refused
from trackbox_backup.settings import Settings
from trackbox_backup.store import Store, Version

__all__ = ["machine", "s3_endpoint"]

BUCKET = "trackbox-proof"


@pytest.fixture
def backed_up(machine: Settings, tmp_path: Path) -> Settings:
    """Return the settings of a machine that has a backup."""
    made(machine, tmp_path)
    return machine


def prove(known: Settings, folder: Path) -> str:
    """Run a restore test; return its message."""
    private = folder / "private-proof"
    private.mkdir(exist_ok=True)
    return proof.prove(known, private)


def recorded(folder: Path) -> Any:
    """Return the status of restore tests."""
    return json.loads((folder / "proof.json").read_text())


def refused(known: Settings, folder: Path) -> str:
    """Run a restore test that must be refused; return its message, which the status has, too."""
    with pytest.raises(Refused) as caught:
        prove(known, folder)
    assert recorded(folder)["error"] == str(caught.value)
    assert "trackbox_proof_failed 1\n" in (folder / "trackbox_proof.prom").read_text()
    return str(caught.value)


def inconclusive(known: Settings, folder: Path, test: Callable[[Settings, Path], Any] = prove) -> str:
    """Run a restore test that must end without a result; return its message. The status keeps the last result."""
    before = recorded(folder) if (folder / "proof.json").exists() else {"error": "", "last_success": None}
    with pytest.raises(Inconclusive) as caught:
        test(known, folder)
    after = recorded(folder)
    assert after["inconclusive"] == str(caught.value)
    assert [after[key] for key in ("error", "last_success")] == [before[key] for key in ("error", "last_success")]
    assert f"trackbox_proof_failed {int(bool(before['error']))}\n" in (folder / "trackbox_proof.prom").read_text()
    return str(caught.value)


def left(known: Settings, folder: Path) -> list[str]:
    """Return what is left of a restore test."""
    files = [name for name in ("scratch.sql", "proving") if (folder / name).exists()]
    return files + [name for name in Store(known).buckets() if name == BUCKET]


def put(known: Settings, bucket: str, key: str, text: bytes) -> None:
    """Put an object."""
    Store(known).sdk.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(text), length=len(text))


def test_a_backup_is_restored_beside_the_live_data_and_removed(backed_up: Settings, tmp_path: Path) -> None:
    before, backup_status = objects(backed_up), last(tmp_path)
    said = prove(backed_up, tmp_path)
    assert "can be restored: 3 rows in 3 tables and 4 versions of objects" in said
    assert objects(backed_up) == before
    assert (tmp_path / "dump.sql").read_text() == DUMP
    assert left(backed_up, tmp_path) == []
    status = recorded(tmp_path)
    assert (status["error"], status["run"], status["objects"]) == ("", backup_status["run"], 4)
    assert status["bytes"] > 0
    lines = (tmp_path / "trackbox_proof.prom").read_text()
    for metric in ("last_success_timestamp_seconds 1", "failed 0", "duration_seconds", f"bytes {status['bytes']}"):
        assert f"\ntrackbox_proof_{metric}" in lines
    assert last(tmp_path) == backup_status


def test_without_a_backup_nothing_is_tested_and_nothing_recorded(backed_up: Settings, tmp_path: Path) -> None:
    last = backup.STATUS.folder / "last.json"
    said = json.loads(last.read_text())
    for text in (None, json.dumps(said | {"last_success": None})):
        last.unlink(missing_ok=True)
        if text:
            last.write_text(text)
        assert "nothing to test" in prove(backed_up, tmp_path)
        assert not (tmp_path / "proof.json").exists()


def test_the_backup_of_another_host_is_not_tested(backed_up: Settings, tmp_path: Path) -> None:
    said = refused(replace(backed_up, host="there"), tmp_path)
    assert said.endswith("has no backup of there.")


def test_versions_come_in_batches(backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most: list[int] = []
    compare = proof.Copies.compare

    def counting(copies: proof.Copies) -> None:
        most.append(len(list(copies.store.versions(BUCKET))))
        compare(copies)

    monkeypatch.setattr(proof, "BATCH_VERSIONS", 1)
    monkeypatch.setattr(proof.Copies, "compare", counting)
    prove(backed_up, tmp_path)
    assert most == [0, 1, 1, 1, 1]
    most.clear()
    monkeypatch.setattr(proof, "BATCH_VERSIONS", 1000)
    prove(backed_up, tmp_path)
    # One batch for each bucket, because two buckets may have an object of the same name.
    assert most == [0, 2, 2]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("database.sql", "database.sql of the backup"),
        ("objects.tar", "objects.tar of the backup"),
        ("settings.tar", "settings.tar of the backup"),
    ],
)
def test_a_damaged_part_is_reported(backed_up: Settings, tmp_path: Path, part: str, words: str) -> None:
    (tmp_path / "damaged").write_text(f"/{part}")
    assert refused(backed_up, tmp_path).startswith(words)
    assert left(backed_up, tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("('r1','a')", "('r1','b')", "mlflow.runs has other values; 1 in all"),
        ("('r1','a'),", "", "mlflow.runs has 1 rows of 2; 1 in all"),
    ],
)
def test_a_database_that_comes_back_otherwise_is_reported(
    backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, words: str
) -> None:
    load = Database.load

    def changed(*given: Any) -> Any:
        rows = load(*given)
        scratch = tmp_path / "scratch.sql"
        scratch.write_text(scratch.read_text().replace(old, new))
        return rows

    monkeypatch.setattr(Database, "load", changed)
    assert words in refused(backed_up, tmp_path)
    assert left(backed_up, tmp_path) == []


def test_an_object_that_comes_back_otherwise_is_reported(
    backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = proof.Copies.compare

    def spoiling(copies: proof.Copies) -> None:
        if copies.source == "datasets":
            put(backed_up, BUCKET, "gone", b"GONE")
        compare(copies)

    monkeypatch.setattr(proof.Copies, "compare", spoiling)
    assert "differ from it: datasets/gone, and 0 others among 2" in refused(backed_up, tmp_path)
    assert left(backed_up, tmp_path) == []


def test_a_model_of_the_restored_database_without_its_files_is_reported(backed_up: Settings, tmp_path: Path) -> None:
    lacking = "the version 3 of the model m\tmlflow-artifacts:/7/models/m-3/artifacts\n"
    (tmp_path / "restored_models").write_text(lacking)
    said = refused(backed_up, tmp_path)
    assert re.match(r"The backup \w+ has no files of the version 3 of the model m; 1 in all\.", said)
    assert left(backed_up, tmp_path) == []
    # A model version whose files were missing before the backup.
    (tmp_path / "models").write_text(lacking)
    made(backed_up, tmp_path)
    assert last(tmp_path)["missing"] == ["the version 3 of the model m"]
    prove(backed_up, tmp_path)


def test_what_somebody_else_has_under_these_names_stays(backed_up: Settings, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_text("trackbox_proof_7\n")
    assert inconclusive(backed_up, tmp_path).startswith(
        "The schema trackbox_proof_7 holds tables, and no restore test made it"
    )
    (tmp_path / "foreign").unlink()
    Store(backed_up).empty(BUCKET)
    put(backed_up, BUCKET, "mine", b"mine")
    assert inconclusive(backed_up, tmp_path).startswith(
        f"The bucket {BUCKET} holds objects, and no restore test made it"
    )
    assert [version.key for version in Store(backed_up).versions(BUCKET)] == ["mine"]
    assert not (tmp_path / "proving").exists()
    Store(backed_up).empty(BUCKET)
    prove(backed_up, tmp_path)
    assert left(backed_up, tmp_path) == []


def leave(known: Settings, folder: Path) -> None:
    """Leave what a restore test leaves that is killed."""
    (folder / "proving").touch()
    (folder / "scratch.sql").write_text("USE `trackbox_proof_1`;\n")
    Store(known).versioned(BUCKET)
    put(known, BUCKET, "a", b"a")
    put(known, BUCKET, "a", b"b")


@pytest.mark.parametrize("job", [made, prove])
def test_what_a_killed_test_left_is_removed_by_the_next_job(
    backed_up: Settings, tmp_path: Path, job: Callable[[Settings, Path], str]
) -> None:
    leave(backed_up, tmp_path)
    job(backed_up, tmp_path)
    assert left(backed_up, tmp_path) == []
    assert "trackbox-proof" not in proof.Proof(backed_up, tmp_path).manifest["buckets"]


def test_sweep_removes_it_and_records_the_killed_test(
    backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "load", lambda: backed_up)
    monkeypatch.setattr("sys.argv", ["trackbox_backup", "sweep"])
    program.main()
    assert not (tmp_path / "proof.json").exists()
    assert capsys.readouterr().out == ""
    leave(backed_up, tmp_path)
    program.main()
    # roles/backup/tasks/sweep.yml looks for these words.
    assert "was removed" in capsys.readouterr().out
    assert left(backed_up, tmp_path) == []
    assert recorded(tmp_path)["inconclusive"] == "The restore test was killed before its end: it does not count."
    assert recorded(tmp_path)["error"] == ""


def test_sweep_leaves_a_running_test_alone(
    backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A unit that did not get the lock sweeps while the test that has it runs. A playbook sweeps with the lock."""
    monkeypatch.setattr(settings, "load", lambda: backed_up)
    leave(backed_up, tmp_path)
    monkeypatch.setattr("sys.argv", ["trackbox_backup", "sweep", "0"])
    with locked(0, backup.STATUS.record, "Nothing"):
        program.main()
        assert "another job holds the lock" in capsys.readouterr().out
        assert left(backed_up, tmp_path) == ["scratch.sql", "proving", BUCKET]
        assert not (tmp_path / "proof.json").exists()
        monkeypatch.setattr("sys.argv", ["trackbox_backup", "sweep"])
        program.main()
        assert left(backed_up, tmp_path) == []
    leave(backed_up, tmp_path)
    monkeypatch.setattr("sys.argv", ["trackbox_backup", "sweep", "0"])
    program.main()
    assert left(backed_up, tmp_path) == []


def test_the_disk_is_never_filled(backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "size").write_text(str(1 << 60))
    assert inconclusive(backed_up, tmp_path).startswith("The database of the backup takes 1152921504606.8 MB in ")
    (tmp_path / "size").unlink()
    # The disk becomes full while the dump is loaded, and while objects are restored.
    monkeypatch.setattr(proof, "STEP", 1)
    room = iter([1 << 30, 0])
    monkeypatch.setattr(proof.Disk, "room", lambda _: next(room))
    assert inconclusive(backed_up, tmp_path).startswith("The next part of the database takes")
    assert left(backed_up, tmp_path) == []
    monkeypatch.setattr(proof, "STEP", 1 << 30)
    room = iter([1 << 30, 0])
    monkeypatch.setattr(proof.Disk, "room", lambda _: next(room, 0))
    said = inconclusive(backed_up, tmp_path)
    assert said.startswith("The object datasets/gone takes 0.0 MB in ")
    assert said.endswith("room for 0 MB there, above trackbox_disk_reserve: make room, or give it a larger disk.")
    assert left(backed_up, tmp_path) == []


@pytest.mark.parametrize(("reserve", "share"), [("0%", 0.0), ("50%", 0.5), ("1000000000", 0.0)])
def test_the_reserve_is_a_share_or_a_size(tmp_path: Path, reserve: str, share: float) -> None:
    disk = shutil.disk_usage(tmp_path)
    expected = disk.free - disk.total * share - (1e9 if share == 0 and "%" not in reserve else 0) - proof.MARGIN
    assert abs(proof.Disk(tmp_path, reserve).room() - expected) < 1 << 28


def test_the_program_takes_the_lock_for_a_restore_test(
    backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "load", lambda: backed_up)
    monkeypatch.setattr("sys.argv", ["trackbox_backup", "prove"])
    program.main()
    assert "can be restored" in capsys.readouterr().out
    with locked(0, backup.STATUS.record, "Nothing"):
        said = inconclusive(backed_up, tmp_path, lambda *_: program.main())
    assert said.startswith("No restore was tested, for the lock of this machine was not free")


def test_a_test_that_is_stopped_has_no_result(
    backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemctl stop` also ends restic, whose failure must not count as a damaged backup."""

    def stopped(_: Database, dump: Any, __: Any) -> None:
        dump.read()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(settings, "load", lambda: backed_up)
    monkeypatch.setattr("sys.argv", ["trackbox_backup", "prove"])
    monkeypatch.setattr(Database, "load", stopped)
    (tmp_path / "stopped").touch()
    restore_handler = signal.getsignal(signal.SIGTERM)
    try:
        said = inconclusive(backed_up, tmp_path, lambda *_: program.main())
    finally:
        signal.signal(signal.SIGTERM, restore_handler)
    assert said == "It was stopped before its end: it does not count."
    assert left(backed_up, tmp_path) == []


@pytest.mark.parametrize("what", ["the database", "the object store", "the target"])
def test_a_test_that_a_server_does_not_answer_has_no_result(
    backed_up: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "the database":
        (tmp_path / "broken").touch()
        assert inconclusive(backed_up, tmp_path).startswith("The database does not answer: ERROR 2002")
    elif what == "the object store":
        away = Store(replace(backed_up, endpoint="127.0.0.1:9"))
        monkeypatch.setattr(Store, "put", lambda *_: away.ask("GET", "/", {}))
        assert inconclusive(backed_up, tmp_path).startswith("MinIO does not answer: ")
    else:
        refusing = "#!/bin/sh\necho 'Fatal: dial tcp: connection refused' >&2\nexit 1\n"
        (tmp_path / "restic").write_text(refusing)
        assert inconclusive(backed_up, tmp_path).startswith("The target ")


def test_a_backup_that_was_found_damaged_stays_so_until_a_test_succeeds(backed_up: Settings, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_text("/database.sql")
    refused(backed_up, tmp_path)
    (tmp_path / "damaged").unlink()
    (tmp_path / "size").write_text(str(1 << 60))
    inconclusive(backed_up, tmp_path)
    (tmp_path / "size").unlink()
    prove(backed_up, tmp_path)
    assert recorded(tmp_path)["error"] == ""
    assert "inconclusive" not in recorded(tmp_path)


def test_a_key_that_two_versions_without_an_id_have_is_compared(backed_up: Settings, tmp_path: Path) -> None:
    """Versions of a bucket without versioning have no ID, and get one in the scratch bucket."""
    store = Store(backed_up)
    store.versioned(BUCKET)
    copies = proof.Copies(store, proof.Disk(tmp_path, "0%"))
    for bucket, text in (("one", b"1"), ("two", b"22")):
        version = Version(bucket, "same", "null", "2026-01-01T00:00:00.000000Z", size=len(text))
        version.etag = "0" * 32
        version.headers = {"content-type": "text/plain"}
        copies.take(version, Hashing(io.BytesIO(text), len(text)))
    copies.compare()
    assert list(store.versions(BUCKET)) == []
    store.sdk.remove_bucket(bucket_name=BUCKET)
