"""Filters about backups: checks of the settings, and the message that refuses a restore."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

FORMS = {
    "/": r"/[^\s,]+",
    "sftp:": r"sftp:(//)?[^\s@/:]+@[^\s/:]+(:\d+/|:)?[^\s]+",
    "s3:": r"s3:https?://[^\s/]+/[^\s/]+\S*",
}
PLACES = ["mysql", "minio", "mlflow"]


def backup_problems(settings: Mapping[str, Any], groups: Sequence[str]) -> list[str]:
    """Return an error message for each setting that would prevent backups.

    settings: the role's variables. groups: the host's groups.
    """
    target = str(settings["backup_target"])
    if not target:
        return []
    kind = next((start for start in FORMS if target.startswith(start)), "")
    if not kind or not re.fullmatch(FORMS[kind], target) or target == "/":
        return [
            f"backup_target is {target!r}: give it a folder (/mnt/backup), sftp:USER@HOST:/FOLDER or "
            "s3:https://HOST/BUCKET; empty, there are no backups."
        ]
    problems = []
    if kind == "sftp:":
        if "PRIVATE KEY-----" not in str(settings["backup_ssh_key"]):
            problems.append(
                "backup_target is by SFTP, and backup_ssh_key holds no private key: give it the text of one without a "
                "passphrase."
            )
        if len(str(settings["backup_ssh_known_hosts"]).split()) < 3:
            problems.append(
                "backup_target is by SFTP, and backup_ssh_known_hosts does not say by which key its host is known: "
                "give it what ssh-keyscan prints, once you have compared it."
            )
    for name in ("backup_s3_access_key", "backup_s3_secret_key"):
        if kind == "s3:" and not settings[name]:
            problems.append(
                f"backup_target is a bucket, and {name} is empty: give it the key of a user who may write there."
            )
    if len(str(settings["backup_password"])) < 12:
        problems.append("backup_password is too short: give it 12 characters or more.")
    if not re.fullmatch(r"(100|[1-9]?\d(\.\d+)?)%|\d+[KMGT]", str(settings["backup_read_data"])):
        problems.append(
            f"backup_read_data is {settings['backup_read_data']}: give it a share such as 5%, or a size such as 2G."
        )
    if not any(int(count) > 0 for count in settings["backup_keep"].values()):
        problems.append("backup_keep keeps nothing: give daily, weekly or monthly a number above 0.")
    if missing := [place for place in PLACES if place not in groups]:
        problems.append(
            f"backup_target is set, and {', '.join(missing)} is on another host: a backup is of one host with "
            f"{', '.join(PLACES)}; leave it empty, and back each of them up by its own means."
        )
    return problems


def restore_problem(looked: Mapping[str, Any], host: str, confirm: str, check_mode: bool) -> str:
    """Return the error message that refuses a restore; empty if it is allowed.

    looked: Ansible's result of `trackbox_backup look`. confirm: the variable restore_confirm.
    """
    if looked["stdout"].startswith("skipped"):
        return f"{host} knows of no backups: run site.yml with this backup_target first."
    if looked["rc"] != 0:
        return (looked["stderr_lines"] or ["Reading the backup failed without an error message."])[-1]
    found = json.loads(looked["stdout"])
    if found["lacks"]:
        return f"The backup {found['run']} {found['lacks']}"
    if found["holds_data"] and confirm != host and not check_mode:
        return (
            f"This replaces the runs, models and objects on {host} by the backup {found['run']} of {found['host']}: "
            f"confirm it by -e restore_confirm={host}."
        )
    return ""


def unswept(swept: Mapping[str, Any]) -> list[str]:
    """Return a line that names what `trackbox_backup sweep` could not remove, and why; empty if it succeeded.

    swept: Ansible's result of the command.
    """
    if swept.get("rc", 0) == 0:
        return []
    reason = [swept.get("msg", ""), *swept.get("stderr_lines", [])]
    return [
        "what a restore test left, the schemas trackbox_proof_N and the bucket trackbox-proof, because it could not be "
        f"removed: {next((line for line in reversed(reason) if line), 'no error message').rstrip('.')}. Drop them, or "
        "no later restore test begins."
    ]


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {"backup_problems": backup_problems, "restore_problem": restore_problem, "unswept": unswept}
