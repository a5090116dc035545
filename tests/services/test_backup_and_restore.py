"""Complete backups and restores with a real MinIO. Fake programs replace MySQL and restic (backed_up.py).

The Molecule scenario `backup` tests the same on a machine with the real MySQL and restic.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("minio")
from backed_up import DUMP, last, machine, made, objects
from servers import s3_endpoint
from trackbox_backup import __main__ as program
from trackbox_backup import backup, restore, settings
from trackbox_backup.database import Database
from trackbox_backup.objects import LIST, Hashing, unpack
from trackbox_backup.refused import Refused
from trackbox_backup.settings import Settings
from trackbox_backup.store import Store, Version
from trackbox_host import lock as host_lock

__all__ = ["machine", "s3_endpoint"]


def test_what_was_backed_up_comes_back_and_is_proved(machine: Settings, tmp_path: Path) -> None:
    before = objects(machine)
    said = made(machine, tmp_path)
    assert "is whole and was read back: 3 rows and 4 versions of objects" in said
    assert (last(tmp_path)["error"], last(tmp_path)["missing"]) == ("", [])
    # Simulate the loss of all data.
    (tmp_path / "dump.sql").unlink()
    for bucket in ("mlflow", "datasets"):
        Store(machine).empty(bucket)
    back = restore.Restore(machine, tmp_path, "latest")
    assert back.look() == {"run": last(tmp_path)["run"], "host": "here", "holds_data": False}
    assert back.lacks() == ""
    back.read_all()
    proof = back.prove(back.write())
    assert (proof["rows"], proof["tables"], proof["versions"], proof["models"], proof["aliases"]) == (3, 3, 4, 1, 1)
    assert back.secrets()[f"{tmp_path}/etc/mlflow/passphrase".lstrip("/")] == b"secret"
    assert not any("backup/settings" in name for name in back.secrets())
    assert (tmp_path / "half").read_text() == "abc\n"
    assert objects(machine) == before
    assert (tmp_path / "dump.sql").read_text() == DUMP


def test_the_folders_that_roles_declare_come_back_as_they_were(machine: Settings, tmp_path: Path) -> None:
    hello = tmp_path / "hello"
    (hello / "deep").mkdir(parents=True)
    (hello / "deep/page é.html").write_text("a page")
    made(machine, tmp_path)
    (hello / "deep/page é.html").write_text("another page")
    (hello / "later").touch()
    restore.Restore(machine, tmp_path, "latest").write()
    assert [path.name for path in sorted(hello.rglob("*"))] == ["deep", "page é.html"]
    assert (hello / "deep/page é.html").read_text() == "a page"


def test_a_declared_file_is_packed_and_one_that_goes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    folder, file = tmp_path / "from/folder", tmp_path / "from/status.json"
    folder.mkdir(parents=True)
    (folder / "kept").write_text("kept" * 10_000)
    (folder / "then gone").touch()
    file.write_text("status")

    class Removing(io.BytesIO):
        """An archive in memory. Its first write deletes a file that is already listed, but not packed yet."""

        def write(self, data: Any) -> int:
            (folder / "then gone").unlink(missing_ok=True)
            return super().write(data)

    packed = Removing()
    backup.pack_folders([str(folder), str(file), str(tmp_path / "from/missing")], packed)
    packed.seek(0)
    (tmp_path / "to").mkdir()
    restore.unpack_folders(packed, [str(folder), str(file)], str(tmp_path / "to"))
    place = Path(str(tmp_path / "to") + str(tmp_path), "from")
    assert [path.name for path in (place / "folder").iterdir()] == ["kept"]
    assert (place / "status.json").read_text() == "status"


def test_a_member_outside_of_the_folders_is_passed_over(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("var/lib/hello/page", "var/lib/hello/../other", "etc/passwd", "var/lib/hello2/page"):
            tar.addfile(tarfile.TarInfo(name))
    packed.seek(0)
    restore.unpack_folders(packed, ["/var/lib/hello"], str(tmp_path))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == ["var/lib/hello/page"]


def test_a_restore_that_did_not_end_asks_the_database_nothing(machine: Settings, tmp_path: Path) -> None:
    made(machine, tmp_path)
    (tmp_path / "half").write_text("abc\n")
    (tmp_path / "broken").touch()
    assert restore.Restore(machine, tmp_path, "latest").look()["holds_data"] is True


def test_what_differs_from_the_backup_is_named(machine: Settings, tmp_path: Path) -> None:
    made(machine, tmp_path)
    back = restore.Restore(machine, tmp_path, last(tmp_path)["run"])
    digests = back.write()
    (tmp_path / "dump.sql").write_text(DUMP.replace("('r1','a'),", ""))
    back.manifest["aliases"] = []
    sdk = Store(machine).sdk
    sdk.put_object(bucket_name="datasets", object_name="new", data=io.BytesIO(b"new"), length=3)
    Store(machine).empty("mlflow")
    with pytest.raises(Refused) as refused:
        back.prove(digests)
    for words in ("mlflow.runs has 1 rows of 2", "the aliases are others", "datasets/new", "is missing", "in all."):
        assert words in str(refused.value)


def test_a_damaged_part_is_refused_before_anything_is_overwritten(machine: Settings, tmp_path: Path) -> None:
    made(machine, tmp_path)
    (tmp_path / "damaged").write_text("/database.sql")
    with pytest.raises(Refused, match=r"database\.sql of the backup .* is not what was backed up"):
        restore.Restore(machine, tmp_path, "latest").read_all()
    with pytest.raises(Refused, match=r"gave database\.sql back as another file"):
        made(machine, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "has the format 2, and this Trackbox reads 1"),
        ({"revision": "other"}, "holds MLflow's schema other"),
        ({"flavor": "mariadb"}, "comes from mariadb, and mysql_flavor is mysql here"),
        ({"parts": {"database.sql": {"bytes": 2**60}, "objects.tar": {"bytes": 1}}}, "takes"),
    ],
)
def test_a_backup_that_does_not_fit_this_machine_is_refused(
    machine: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    made(machine, tmp_path)
    found = backup.newest_manifest
    monkeypatch.setattr(restore, "newest_manifest", lambda *given: found(*given) | change)
    if "parts" in change:
        assert restore.Restore(machine, tmp_path, "latest").lacks().startswith(words)
        return
    with pytest.raises(Refused, match=words):
        restore.Restore(machine, tmp_path, "latest").look()


def test_which_of_several_hosts_is_meant_has_to_be_said(machine: Settings, tmp_path: Path) -> None:
    made(replace(machine, host="a"), tmp_path)
    with pytest.raises(Refused, match="holds no backup 20260101T000000Z that is whole"):
        restore.Restore(machine, tmp_path, "20260101T000000Z")
    assert restore.Restore(machine, tmp_path, "latest").manifest["host"] == "a"
    made(replace(machine, host="b"), tmp_path)
    with pytest.raises(Refused, match="holds backups of several hosts, and none of here: a's newest is "):
        restore.Restore(machine, tmp_path, "latest")
    assert restore.Restore(replace(machine, host="b"), tmp_path, "latest").manifest["host"] == "b"


def test_what_was_cut_off_of_a_backup_goes_with_the_next_one(machine: Settings, tmp_path: Path) -> None:
    cut = backup.Backup(machine, tmp_path)
    cut.run = "20200101T000000Z"
    cut.repository.open(make=True)
    cut.save(backup.DATABASE, lambda out: out.write(b"x"))
    made(machine, tmp_path)
    kept = restore.Restore(machine, tmp_path, "latest").repository.snapshots(backup.TAG)
    assert not any("20200101T000000Z" in one["tags"] for one in kept)


def refused(known: Settings, folder: Path) -> str:
    with pytest.raises(Refused) as caught:
        made(known, folder)
    assert last(folder)["error"] == str(caught.value)
    return str(caught.value)


def test_a_machine_that_is_not_whole_is_not_backed_up(machine: Settings, tmp_path: Path) -> None:
    (tmp_path / "half").touch()
    assert refused(machine, tmp_path).startswith("A restore onto this machine did not end")
    (tmp_path / "half").unlink()
    (tmp_path / "upgrading").touch()
    assert refused(machine, tmp_path).startswith("An upgrade of this machine did not end")
    (tmp_path / "upgrading").unlink()
    (tmp_path / "rewrapping").touch()
    assert refused(machine, tmp_path).startswith("A rotation of mlflow_encryption_passphrase did not end")
    (tmp_path / "rewrapping").unlink()
    made(machine, tmp_path)
    (tmp_path / "dump.sql").write_text(DUMP.replace("'r", "'x"))
    assert refused(machine, tmp_path).startswith("This machine has no runs, models and traces, and the newest backup")


def test_a_registry_that_changes_during_each_dump_is_not_backed_up(machine: Settings, tmp_path: Path) -> None:
    (tmp_path / "aliases").write_text("x")
    assert "changed during each of 5 dumps" in refused(machine, tmp_path)


def test_a_full_target_and_a_fault_are_told_to_monitoring(
    machine: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(machine, tmp_path)
    (tmp_path / "full").touch()
    assert "is full: make room there" in refused(machine, tmp_path)
    monkeypatch.setattr(backup.Backup, "create", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made(machine, tmp_path)
    assert last(tmp_path)["error"].startswith("It broke off: ZeroDivisionError")


def test_a_dump_that_breaks_off_and_a_database_that_is_away_are_refused(machine: Settings, tmp_path: Path) -> None:
    database = Database(machine)
    (tmp_path / "dump.sql").write_text("USE `mlflow`;\n")
    with pytest.raises(Refused, match="The dump of the database broke off: USE"):
        database.dump(io.BytesIO())
    with pytest.raises(Refused, match="The database did not take the dump"):
        database.load(io.BytesIO(b"USE `mlflow`;\n"))
    assert database.counts([]) == {}
    (tmp_path / "broken").touch()
    with pytest.raises(Refused, match="The database does not answer: ERROR 2002"):
        database.query("SELECT 1")


def test_an_object_that_goes_while_it_is_packed_is_counted(machine: Settings) -> None:
    store = Store(machine)
    assert store.get(Version("mlflow", "never", "null", "2026-01-01T00:00:00.000000Z")) is None
    with pytest.raises(Refused, match=r"MinIO did not give nowhere/x+: 400"):
        store.get(Version("nowhere", "x" * 2000, "null", ""))


def test_objects_that_are_not_those_of_their_list_are_refused(machine: Settings, tmp_path: Path) -> None:
    made(machine, tmp_path)
    back = restore.Restore(machine, tmp_path, "latest")
    with back.part(backup.OBJECTS) as file:
        data = file.read()
    with pytest.raises(Refused, match="are not those of its list: 1 of 4 differ"):
        unpack(io.BytesIO(data.replace(b"second", b"SECOND")), restore.nothing)
    assert LIST.encode() in data
    short = Hashing(io.BytesIO(b"123"), 5)
    assert short.read(5) == b"123"
    with pytest.raises(Refused, match="MinIO broke off after 3 of 5 bytes"):
        short.read(2)


@pytest.fixture
def command(machine: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs the backup program with the given arguments, as its systemd unit does."""
    monkeypatch.setattr(settings, "load", lambda: machine)
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["trackbox_backup", *arguments])
        program.main()

    return run


def test_the_program_makes_looks_restores_and_reads_a_secret(
    command: Any, machine: Settings, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    command("backup", "1")
    command("look")
    command("restore")
    command("secret", f"{tmp_path}/etc/mlflow/passphrase".lstrip("/"))
    made_, looked, restored, secret = capfdbinary.readouterr().out.splitlines()
    assert made_.startswith(b"Backup 2")
    assert json.loads(looked)["holds_data"] is True
    assert json.loads(looked)["lacks"] == ""
    assert json.loads(restored)["rows"] == 3
    assert secret == b"secret"
    with pytest.raises(Refused, match="stopped before its end"):
        program.stop()


def test_who_holds_the_lock_is_named(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "systemctl").write_text(
        "#!/bin/sh\n[ ! -e active ] || "
        "printf 'ActiveState=active\\nDescription=upgrade.yml\\nInactiveExitTimestamp=noon\\n'\n"
    )
    (tmp_path / "systemctl").chmod(0o755)
    with host_lock.held():
        with pytest.raises(Refused, match=r"another program holds it \(fuser"):
            command("backup")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "active").touch()
        with pytest.raises(Refused, match=r"upgrade\.yml has held it since noon"):
            command("backup")
    assert last(tmp_path)["error"].startswith("Nothing was backed up, for the lock of this machine was not free")


def test_settings_come_from_credentials_and_from_minios_unit(
    machine: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: getattr(machine, name) for name in Settings.__dataclass_fields__ if not name.startswith("root_")}
    (tmp_path / "settings").write_text(json.dumps(given))
    (tmp_path / "unit").write_text("[Service]\nEnvironment=MINIO_ROOT_USER=tester\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(settings, "MINIO_UNIT", tmp_path / "unit")
    monkeypatch.setattr(settings, "SECRETS", tmp_path / "etc")
    known = settings.load()
    assert (known.root_user, known.root_password, known.flavor) == ("tester", "x", "mysql")
    assert replace(known, dump="mariadb-dump").flavor == "mariadb"
    # systemd 252 of Debian 12 has removed the credential when ExecStopPost runs.
    (tmp_path / "settings").rename(tmp_path / "etc/backup/settings")
    assert settings.load() == known


def test_the_program_runs_as_a_module(tmp_path: Path) -> None:
    environment = os.environ | {"CREDENTIALS_DIRECTORY": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "trackbox_backup", "look"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr
