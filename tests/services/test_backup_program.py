"""Parts of the backup program that need no server: counting rows of a dump, and messages for restic's errors."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trackbox_backup.repository
from trackbox_backup.database import Rows
from trackbox_backup.redirect import Redirect
from trackbox_backup.refused import Refused
from trackbox_backup.repository import Full, Missing, Repository, newest
from trackbox_backup.settings import Settings

GIVEN: dict[str, Any] = {
    name: "" for name in Settings.__dataclass_fields__ if name not in ("keep", "target", "root_user", "root_password")
}
TARGETS = {
    "sftp:ada@nas.example.org:/backup": ("-p 22", "ada@nas.example.org -s sftp"),
    "sftp:ada@nas.example.org:backup": ("-p 22", "ada@nas.example.org -s sftp"),
    "sftp://ada@nas.example.org/backup": ("-p 22", "ada@nas.example.org -s sftp"),
    "sftp://ada@nas.example.org:2222/backup": ("-p 2222", "ada@nas.example.org -s sftp"),
}
SAID = {
    "Fatal: wrong password or no key found": "backup_password is not the password of the repository /backup",
    "write /backup/data/00/11-tmp-2: no space left on device": "The target /backup is full",
    "Fatal: unable to open config file: Stat: The request signature we calculated does not match the signature\n"
    "Is there a repository at the following location?\ns3:x": "The target /backup refuses this machine's login",
    "subprocess ssh: Host key verification failed.\nFatal: unable to start the sftp": (
        "The target /backup refuses this machine's login"
    ),
    'Fatal: unable to open config file: Stat: Get "http://127.0.0.1:9199/": dial tcp: connect: connection refused\n'
    "Is there a repository at the following location?": "The target /backup cannot be reached",
    "pack 1122 contains 1 errors: [blob 33: ciphertext verification failed]\nFatal: repository contains errors": (
        "The repository /backup is damaged (repository contains errors)"
    ),
    "Fatal: unable to open config file: stat /x/config: no such file or directory": "There is no repository in /backup",
    "Fatal: something new": "The target /backup (backup_target) does not work: something new.",
}


def repository(folder: Path, target: str) -> Repository:
    """Return a repository object without creating the repository."""
    return Repository(Settings(**GIVEN, target=target, keep={}), folder)


def counted(text: bytes) -> dict[str, int]:
    """Count the rows of a dump."""
    rows = Rows()
    for line in text.splitlines(keepends=True):
        rows.line(line)
    return dict(rows.counts)


def test_rows_are_counted_as_mysql_writes_them() -> None:
    assert counted(
        b"USE `mlflow`;\nINSERT INTO `runs` VALUES (1,'a'),(2,'b');\nINSERT INTO `runs` VALUES (3,NULL);\n"
        b"INSERT INTO `tags` (`k`, `v`) VALUES ('x',0x28);\n"
    ) == {"mlflow.runs": 3, "mlflow.tags": 1}


def test_rows_are_counted_as_mariadb_writes_them() -> None:
    text = b"USE `mlflow`;\nINSERT INTO `runs` VALUES\n(1,'a'),\n(2,'(b);'),\n(3,'c');\n-- (no row)\n(none either)\n"
    assert counted(text) == {"mlflow.runs": 3}


def test_what_looks_like_a_row_within_text_is_none() -> None:
    assert counted(rb"INSERT INTO `t` VALUES (1,'it\'s ),('),(2,'\\'),(3,'a\n),(b'),(4,'''),(');" + b"\n") == {".t": 4}


@pytest.mark.parametrize("said", SAID)
def test_what_restic_says_becomes_a_sentence(tmp_path: Path, said: str) -> None:
    sentence = str(repository(tmp_path, "/backup").refusal(said))
    assert sentence.startswith(SAID[said])
    assert sentence.endswith(".")


def test_a_repository_is_made_only_where_there_is_none(tmp_path: Path) -> None:
    kinds = {said: type(repository(tmp_path, "/backup").refusal(said)) for said in SAID}
    assert [said for said, kind in kinds.items() if kind is Missing] == [one for one in SAID if "no such file" in one]
    assert [said for said, kind in kinds.items() if kind is Full] == [one for one in SAID if "no space" in one]


def patient_restic(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Put a fake restic into PATH that prints an error and keeps retrying when `restic cat config` runs."""
    text = f"#!/bin/sh\necho \"$*\" >>{folder}/done\n[ $1 != cat ] || {{ echo 'error, {said}' >&2; exec sleep 30; }}\n"
    (folder / "restic").write_text(text)
    (folder / "restic").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(trackbox_backup.repository, "PATIENCE", 1.0)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "retrying after 1.2s: Stat: The request signature we calculated does not match the signature you provided.",
            "The target /backup refuses this machine's login (Stat: The request signature we calculated",
        ),
        ("", "The target /backup cannot be reached (it timed out)"),
    ],
)
def test_what_restic_tries_again_and_again_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, sentence: str
) -> None:
    patient_restic(tmp_path, monkeypatch, said)
    start = time.monotonic()
    with pytest.raises(Refused) as refused:
        repository(tmp_path, "/backup").open(make=True)
    assert str(refused.value).startswith(sentence)
    assert time.monotonic() - start < 20


def test_a_bucket_that_is_missing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient_restic(tmp_path, monkeypatch, "retrying after 1.4s: Stat: The specified bucket does not exist")
    repository(tmp_path, "/backup").open(make=True)
    assert (tmp_path / "done").read_text() == "cat config\ninit\nunlock\n"


@pytest.mark.parametrize("target", TARGETS)
def test_ssh_goes_to_the_host_and_port_of_the_target(tmp_path: Path, target: str) -> None:
    option = repository(tmp_path, target).options[1]
    assert all(part in option for part in TARGETS[target])


@pytest.mark.parametrize(
    ("days", "chosen"),
    [((-2, -1, 0), 0), ((-2, -1, 400), -1), ((300, 400), 400), ((0, 0.5), 0.5)],
)
def test_the_newest_backup_is_none_that_a_wrong_clock_made(days: tuple[float, ...], chosen: float) -> None:
    now = datetime.now(UTC)
    known = [{"time": (now + timedelta(day)).isoformat(), "id": day} for day in days]
    assert newest(known)["id"] == chosen


MYSQL = b"""\
-- MySQL dump 10.13
/*!50503 SET NAMES utf8mb4 */;
-- Current Database: `mlflow`
/*!40000 DROP DATABASE IF EXISTS `mlflow`*/;
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `mlflow` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;
USE `mlflow`;
-- Table structure for table `runs`
DROP TABLE IF EXISTS `runs`;
CREATE TABLE `runs` (
  `user` varchar(9)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `runs` VALUES ('USE `mlflow`;'),('x\\nDROP DATABASE `mlflow`;');
ALTER DATABASE `mlflow` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;
/*!50003 SET character_set_client  = latin1 */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50003 TRIGGER mlflow.tr BEFORE INSERT ON mlflow.runs FOR EACH ROW BEGIN
  DELETE FROM mlflow.tags;
END */;;
DELIMITER ;
/*!50003 SET character_set_client  = @saved_cs_client */ ;
-- Temporary view structure for view `v`
/*!50001 CREATE VIEW `v` AS SELECT 1 AS `1`*/;
-- Dumping events for database 'mlflow'
/*!50106 CREATE*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO DELETE FROM runs */ ;;
-- Dumping routines for database 'mlflow'
CREATE DEFINER=`root`@`localhost` PROCEDURE `p`() DELETE FROM runs ;;
-- Current Database: `hello`
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `hello` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;
USE `hello`;
INSERT INTO `t` VALUES (1);
-- Current Database: `mlflow`
USE `mlflow`;
-- Final view structure for view `v`
/*!50001 CREATE VIEW `v` AS select 1 AS `1`*/;
-- Dump completed
"""
SCRATCH = b"""\
CREATE DATABASE `trackbox_proof_1` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;
USE `trackbox_proof_1`;
CREATE TABLE `runs` (
  `user` varchar(9)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `runs` VALUES ('USE `mlflow`;'),('x\\nDROP DATABASE `mlflow`;');
CREATE DATABASE `trackbox_proof_2` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;
USE `trackbox_proof_2`;
INSERT INTO `t` VALUES (1);
USE `trackbox_proof_1`;
"""


def test_a_dump_is_redirected_into_scratch_schemas_with_nothing_but_its_tables() -> None:
    redirect = Redirect()
    assert b"".join(map(redirect.line, MYSQL.splitlines(keepends=True))) == SCRATCH
    assert redirect.schemas == {"mlflow": "trackbox_proof_1", "hello": "trackbox_proof_2"}


@pytest.mark.parametrize(
    "line", [b"USE `mlflow`;\n", b"use mlflow;\n", b"/*!40000 USE `mlflow`*/;\n", b" USE `other`;\n"]
)
def test_a_dump_that_uses_a_schema_which_it_did_not_create_is_refused(line: bytes) -> None:
    redirect = Redirect()
    redirect.line(b"CREATE DATABASE `another`;\n")
    with pytest.raises(Refused, match="before it creates it"):
        redirect.line(line)


# Lines that a user could put into a dump with a routine, a trigger, an event, a view or a table.
DANGEROUS = [
    b"drop schema `mlflow`;\n",
    b"/*M!100100 DROP DATABASE `mlflow`*/;\n",
    b"ALTER DATABASE CHARACTER SET latin1;\n",
    b"-- Table structure for table x\nDELETE FROM mlflow.runs;\nGRANT ALL ON *.* TO eve@localhost;\n",
    b"DELIMITER ;\nDROP TABLE mlflow.runs;\n",
    b"SET PASSWORD = 'x';\n",
    b"/*!40101 SET SQL_MODE='ANSI_QUOTES' */;\n",
    b"INSERT INTO `t` SELECT * FROM mlflow.runs;\n",
    b"INSERT INTO `t` VALUES (mlflow.evil());\n",
    b"INSERT INTO `t` VALUES (1),(`evil`());\n",
    b"INSERT INTO `t` VALUES (1); DROP TABLE mlflow.runs;\n",
    b"INSERT INTO `t` VALUES ('a\\\\'); DROP TABLE mlflow.runs; -- ');\n",
    b"INSERT INTO `t` VALUES (/*!50003 mlflow.evil()*/);\n",
    b"INSERT INTO `mlflow`.`runs` VALUES (1);\n",
    b"CREATE DATABASE `x`; DROP DATABASE `mlflow`; -- `;\n",
    b"CREATE DATABASE `x` /*!40100 DEFAULT CHARACTER SET utf8mb4 */; DROP DATABASE `mlflow`;\n",
    b"CREATE TABLE `t` (\n  `a` int\n); DROP TABLE mlflow.runs;\n",
    b"CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB; DROP TABLE mlflow.runs;\n",
    b"CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB SELECT mlflow.evil();\n",
    b"CREATE TABLE `t` (\n  `a` int REFERENCES `mlflow`.`runs` (`id`)\n) ENGINE=InnoDB;\n",
    b"CREATE TABLE `t` (\n  `a` int DEFAULT nextval(`mlflow` . `s`)\n) ENGINE=InnoDB;\n",
    b"CREATE TABLE `t` (\n  `a` int\n) ENGINE=MRG_MyISAM INSERT_METHOD=LAST UNION=(`mlflow`.`t`);\n",
    b"CREATE TABLE `t` (\n  `a` int\n) ENGINE=FEDERATED CONNECTION='mysql://x@y/z/t';\n",
    b"CREATE TABLE `mlflow`.`t` (\n  `a` int\n) ENGINE=InnoDB;\n",
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_no_statement_that_reads_or_changes_other_data_is_sent(text: bytes) -> None:
    redirect = Redirect()
    assert b"".join(map(redirect.line, text.splitlines(keepends=True))) == b""


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO `t` VALUES (1,-2.5,1.5e-07,NULL,'a;b','it''s \\' `x` -- y',_binary 'c\\0',0x00FF,b'101');\n",
        b"INSERT INTO `t` (`id`, `name`) VALUES\n(1,'a;\\n'),\n(2,'');\n",
        b"CREATE TABLE `SELECT` (\n  `union` int DEFAULT NULL COMMENT 'SELECT; `a`.`b`'\n) ENGINE=InnoDB;\n",
        b"CREATE TABLE `t` (\n  `a` int,\n  FOREIGN KEY (`a`) REFERENCES `runs` (`id`)\n) ENGINE=InnoDB\n"
        b"/*!50100 PARTITION BY HASH (`a`)\nPARTITIONS 4 */;\n",
    ],
)
def test_tables_and_their_values_are_sent_as_they_are(text: bytes) -> None:
    redirect = Redirect()
    assert b"".join(map(redirect.line, text.splitlines(keepends=True))) == text


def test_a_tables_checksum_does_not_depend_on_the_form_of_the_dump() -> None:
    """MySQL writes many rows in a line, MariaDB one."""
    forms = (
        b"USE `m`;\nINSERT INTO `t` VALUES (1,'a'),(2,'b');\nINSERT INTO `t` VALUES (3,'c;');\n",
        b"USE `m`;\nINSERT INTO `t` VALUES\n(1,'a'),\n(2,'b'),\n(3,'c;');\n",
        b"USE `m`;\nINSERT INTO `t` VALUES (1,'a'),(2,'b'),(3,'c; ');\n",
    )
    found = []
    for form in forms:
        rows = Rows()
        for line in form.splitlines(keepends=True):
            rows.line(line)
        found.append(rows.checksum("m.t"))
    assert found[0] == found[1] != found[2]
    assert Rows().checksum("m.t") == ""
