"""A machine that is backed up: a real MinIO with objects, and fake programs that replace MySQL and restic."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import ENABLED, Tags
from minio.versioningconfig import VersioningConfig
from servers import KEYS
from trackbox_backup import backup, proof, restore, scratch
from trackbox_backup.settings import Settings
from trackbox_backup.store import Store
from trackbox_host import lock as host_lock
from trackbox_host.status import Status

DUMP = """\
/*!40000 DROP DATABASE IF EXISTS `mlflow`*/;
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `mlflow` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;
USE `mlflow`;
INSERT INTO `alembic_version` VALUES ('abc');
INSERT INTO `runs` VALUES ('r1','a'),('r2','b;(');
-- Dump completed
"""
# Fake mysql and mysqldump. Their data are these files in the folder that $DATABASE names: dump.sql, scratch.sql (the
# scratch schema), aliases, size (of the schema), models and restored_models (further model versions, in MLflow's schema
# and in the scratch schema), and foreign (scratch schemas with somebody else's tables).
MYSQL = """\
import os, pathlib, sys
here = pathlib.Path(os.environ["DATABASE"])
text = sys.stdin.read()
dump = here / "dump.sql"
rows = dump.read_text().count("('r") if dump.exists() else 0
if (here / "broken").exists():
    sys.exit("ERROR 2002 (HY000): Can't connect")
scratch = here / "scratch.sql"
if any(word.startswith("--init-command") for word in sys.argv):
    scratch.write_text(text)
elif "--batch" not in sys.argv:
    dump.write_text(text)
elif "DROP DATABASE" in text:
    scratch.unlink(missing_ok=True)
elif "REGEXP" in text and ".tables" in text:
    print((here / "foreign").read_text() if (here / "foreign").exists() else "", end="")
elif "REGEXP" in text:
    print("trackbox_proof_1" if scratch.exists() else "", end="")
elif "data_length" in text:
    print((here / "size").read_text() if (here / "size").exists() else "1000")
elif "information_schema.schemata" in text:
    print("mlflow")
elif "information_schema.tables" in text:
    for schema in ["mlflow"] + ["trackbox_proof_1"] * scratch.exists():
        print(f"{schema}.alembic_version", f"{schema}.runs", f"{schema}.empty", sep="\\n")
elif "alembic_version`" not in text and "version_num" in text:
    print("abc")
elif "registered_model_aliases" in text:
    print("m\\tchampion\\t1")
    (here / "aliases").exists() and print("m\\tat" + str(len(text)) + (here / "aliases").read_text())
elif "model_versions v" in text:
    print("the version 1 of the model m\\tmlflow-artifacts:/7/models/m-1/artifacts")
    print("the version 2 of the model m\\tfile:/elsewhere")
    more = here / ("restored_models" if "trackbox_proof_1" in text else "models")
    print(more.read_text() if more.exists() else "", end="")
elif "UNION ALL" in text:
    print(f"mlflow.alembic_version\\t1\\nmlflow.empty\\t0\\nmlflow.runs\\t{rows}")
else:
    print(rows)
"""
MYSQLDUMP = """\
import os, pathlib, sys
here = pathlib.Path(os.environ["DATABASE"])
if "trackbox_proof_1" in sys.argv:
    print((here / "scratch.sql").read_text() + "-- Dump completed")
else:
    print((here / "dump.sql").read_text(), end="")
if (here / "aliases").exists():
    (here / "aliases").write_text((here / "aliases").read_text() + "x")
"""
RESTIC = """\
import json, os, pathlib, sys
here, (command, *rest) = pathlib.Path(os.environ["RESTIC_REPOSITORY"]), sys.argv[1:]
if command == "init":
    here.mkdir()
elif not here.is_dir():
    sys.exit("Fatal: unable to open config file: stat: no such file or directory")
known = [json.loads(path.read_text()) for path in sorted(here.glob("*.json"))]
if command == "backup":
    number = f"{len(list(here.iterdir())):04}"
    data = sys.stdin.buffer.read()
    if (here.parent / "full").exists():
        sys.exit("Fatal: write: no space left on device")
    given = dict(zip(rest, rest[1:]))
    (here / f"{number}.data").write_bytes(data)
    about = {"id": number, "time": f"2026-11-2{number[-1]}T00:00:00Z", "hostname": given["--host"]}
    about |= {"tags": given["--tag"].split(","), "name": given["--stdin-filename"]}
    (here / f"{number}.json").write_text(json.dumps(about))
    print(json.dumps({"message_type": "summary", "snapshot_id": number, "data_added": len(data)}))
elif command == "snapshots":
    wanted = set(rest[rest.index("--tag") + 1].split(","))
    print(json.dumps([one for one in known if wanted <= set(one["tags"])]))
elif command == "dump":
    data = (here / f"{rest[0]}.data").read_bytes()
    damaged = (here.parent / "damaged").exists() and rest[1] == (here.parent / "damaged").read_text()
    sys.stdout.buffer.write(data[:-1] + b"?" if damaged else data)
    if (here.parent / "stopped").exists() and rest[1] == "/database.sql":
        sys.exit("signal terminated received, cleaning up")
elif command == "forget" and not any(word.startswith("--keep") for word in rest):
    for number in rest[1:]:
        (here / f"{number}.data").unlink()
        (here / f"{number}.json").unlink()
"""


@pytest.fixture
def machine(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The backup settings of a machine whose database contains two runs and whose buckets contain object versions."""
    for name, text in (("mysql", MYSQL), ("mysqldump", MYSQLDUMP), ("restic", RESTIC)):
        (tmp_path / name).write_text(f"#!{sys.executable}\n{text}")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DATABASE", str(tmp_path))
    (tmp_path / "dump.sql").write_text(DUMP)
    secrets = tmp_path / "etc"
    for name, text in (("mlflow/passphrase", "secret"), ("backup/settings", "{}"), ("minio/root_password", "x")):
        (secrets / name).parent.mkdir(parents=True, exist_ok=True)
        (secrets / name).write_text(text)
    (tmp_path / "lock").touch()
    status = Status(tmp_path, "backup", backup.STATUS.metrics)
    for module, names in (
        (
            backup,
            {
                "SECRETS": secrets,
                "HALF": tmp_path / "half",
                "UPGRADING": (tmp_path / "upgrading",),
                "REWRAPPING": tmp_path / "rewrapping",
                "STATUS": status,
            },
        ),
        (restore, {"HALF": tmp_path / "half", "DATABASE_FOLDER": tmp_path}),
        (host_lock, {"LOCK": tmp_path / "lock"}),
        (
            proof,
            {"PROOF": Status(tmp_path, "proof", proof.PROOF.metrics, proof.PROOF.file), "DATABASE_FOLDER": tmp_path},
        ),
        (scratch, {"PROVING": tmp_path / "proving"}),
    ):
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)
    given: dict[str, Any] = dict.fromkeys(Settings.__dataclass_fields__, "")
    given |= {"target": str(tmp_path / "repository"), "host": "here", "keep": {"daily": 7, "weekly": 0}}
    given |= {"dump": "mysqldump", "client": "mysql", "database": "mlflow", "bucket": "mlflow"}
    given |= {"endpoint": s3_endpoint.removeprefix("http://")}
    given |= {"scratch_bucket": "trackbox-proof", "reserve": "0%"}
    given |= {"folders": [str(tmp_path / "hello")]}
    given |= {"region": "us-east-1", "objects": str(tmp_path), "read_data": "5%", "socket": "/unused"}
    given |= {"root_user": KEYS["MINIO_ROOT_USER"], "root_password": KEYS["MINIO_ROOT_PASSWORD"]}
    known = Settings(**given)
    fill(known)
    return known


def fill(known: Settings) -> None:
    """Fill the buckets: an object with two versions, metadata and tags, and a deleted object."""
    sdk = Minio(endpoint=known.endpoint, access_key=known.root_user, secret_key=known.root_password, secure=False)
    store = Store(known)
    for bucket in ("mlflow", "datasets"):
        store.empty(bucket)
        sdk.set_bucket_versioning(bucket_name=bucket, config=VersioningConfig(ENABLED))
    tags = Tags.new_object_tags()
    tags["of"] = "two words"
    for text in (b"first", b"second"):
        sdk.put_object(
            bucket_name="mlflow",
            object_name="7/models/m-1/artifacts/ü+%.bin",
            data=io.BytesIO(text),
            length=len(text),
            metadata={"colour": "blue"},
            tags=tags,
        )
    sdk.put_object(bucket_name="datasets", object_name="gone", data=io.BytesIO(b"gone"), length=4)
    sdk.remove_object(bucket_name="datasets", object_name="gone")


def made(known: Settings, folder: Path) -> str:
    private = folder / f"private-{time.time_ns()}"
    private.mkdir()
    return backup.make(known, private)


def last(folder: Path) -> Any:
    return json.loads((folder / "last.json").read_text())


def objects(known: Settings) -> list[dict[str, Any]]:
    """Return the metadata of every object version."""
    store, found = Store(known), []
    for bucket in store.buckets():
        for version in store.versions(bucket):
            if not version.deleted and (response := store.get(version)):
                response.read()
            found.append(version.facts())
    return found
