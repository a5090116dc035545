"""The encrypted, deduplicated repository: runs restic, and turns its errors into messages for the administrator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from trackbox_backup.refused import Inconclusive, Refused
from trackbox_backup.settings import Settings


class Missing(Refused):
    """The target contains no repository."""


class Full(Refused):
    """The target has no space left."""


# Patterns of error messages of restic 0.14 and later, and the message that replaces each. The first match is used.
REASONS: list[tuple[str, type[Refused], str]] = [
    (
        "wrong password or no key found",
        Refused,
        "backup_password is not the password of the repository {target}: set it to the one that it was made with",
    ),
    (
        "no space left|disk quota|XMinioStorageFull|QuotaExceeded",
        Full,
        "The target {target} is full: make room there, or keep fewer backups (backup_keep); whole ones stay",
    ),
    (
        "signature we calculated|Access ?Denied|InvalidAccessKeyId|permission denied|host key verification",
        Refused,
        "The target {target} refuses this machine's login ({said}): check its credentials, beside backup_target",
    ),
    (
        "connection refused|no such host|timed out|timeout|unreachable|no route|reset by peer|not resolve",
        Inconclusive,
        "The target {target} cannot be reached ({said}): see backup_target, and whether it is up",
    ),
    (
        "verification failed|invalid data returned|does not match|damaged|hash mismatch|not found in index|Pack ID",
        Refused,
        "The repository {target} is damaged ({said}): see docs/backup.md for what can be saved",
    ),
    (
        "no such file|does not exist",
        Missing,
        "There is no repository in {target}: name the target that backups went to",
    ),
]


# Seconds that restic may take to open the repository.
PATIENCE = 60.0


def newest(known: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the newest of these snapshots, which are sorted by time.

    Snapshots dated later than tomorrow were made with a wrong clock, so they are used only if there are no others.
    """
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400))
    return ([one for one in known if str(one["time"])[:10] <= tomorrow] or known)[-1]


class Repository:
    """Runs restic. Credentials are in its environment or private files, because every user can read command lines."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Set up restic's environment. folder: a private folder for SSH's files and temporary files."""
        self.settings = settings
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "RESTIC_REPOSITORY": settings.target,
            "RESTIC_PASSWORD": settings.password,
            "RESTIC_PROGRESS_FPS": "0.1",
            "RESTIC_CACHE_DIR": os.environ.get("CACHE_DIRECTORY", "/var/cache/trackbox/restic"),
            "AWS_ACCESS_KEY_ID": settings.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key,
        }
        self.options = self.ssh(folder) if settings.target.startswith("sftp:") else []

    def ssh(self, folder: Path) -> list[str]:
        """Return restic's options for SFTP: SSH uses backup_ssh_key, checks the host's key, and never prompts."""
        for name, text in (("key", self.settings.ssh_key), ("known_hosts", self.settings.ssh_known_hosts)):
            path = folder / name
            path.touch(mode=0o600)
            path.write_text(text.strip() + "\n")
        found = re.match(r"sftp:(?://)?([^:/]+(?::(?=\d+/))?\d*)[:/]", self.settings.target)
        where, _, port = (found[1] if found else "").partition(":")
        given = [f"-i {folder}/key", f"-o UserKnownHostsFile={folder}/known_hosts", "-o StrictHostKeyChecking=yes"]
        given += ["-o BatchMode=yes", "-o ConnectTimeout=20", f"-p {port or 22}"]
        return ["-o", f"sftp.command=ssh {' '.join(given)} {where} -s sftp"]

    def refusal(self, said: str) -> Refused:
        """Return an exception with a message for the administrator, made from restic's error output."""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        # Prefer the line with "Fatal", because some versions of restic print advice after it.
        fatal = [line for line in lines if "atal" in line] + lines[-1:] + ["it said nothing"]
        short = fatal[0].removeprefix("Fatal: ").rstrip(".")[:300]
        for pattern, kind, sentence in REASONS:
            if re.search(pattern, said, re.IGNORECASE):
                return kind(sentence.format(target=self.settings.target, said=short) + ".")
        return Refused(f"The target {self.settings.target} (backup_target) does not work: {short}.")

    def start(
        self,
        *arguments: str,
        stdin: int = subprocess.DEVNULL,
        out: int | IO[bytes] = subprocess.PIPE,
        err: int | IO[bytes] = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start restic."""
        command = ["restic", *self.options, *arguments]
        return subprocess.Popen(command, env=self.environment, stdin=stdin, stdout=out, stderr=err)

    def run(self, *arguments: str, seconds: float | None = None) -> str:
        """Run restic; return its output. seconds: the time after which it is terminated, None for no limit."""
        process = self.start(*arguments)
        try:
            out, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            tries = re.findall(r"retrying after \S+: (.+)", process.communicate()[1].decode(errors="replace"))
            raise self.refusal(tries[-1] if tries else "it timed out") from None
        if process.returncode:
            raise self.refusal(errors.decode(errors="replace") + out.decode(errors="replace"))
        return out.decode()

    def open(self, make: bool) -> None:
        """Check that the repository opens. make: whether to create it if it is missing."""
        try:
            # Set a time limit, because restic 0.18 retries for 15 minutes even if the key is wrong.
            self.run("cat", "config", seconds=PATIENCE)
        except Missing:
            if not make:
                raise
            self.run("init")
        # Remove the stale locks of an interrupted backup.
        self.run("unlock")

    def save(self, name: str, tags: Sequence[str], write: Callable[[IO[bytes]], None]) -> dict[str, Any]:
        """Store the output of `write` in a new snapshot, as a file called `name`; return restic's summary."""
        arguments = ["backup", "--json", "--stdin", "--stdin-filename", name, "--host", self.settings.host]
        arguments += ["--tag", ",".join(tags)]
        # Send restic's output to files, because it prints progress all the time, and would block on a full pipe.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            process = self.start(*arguments, stdin=subprocess.PIPE, out=out, err=errors)
            assert process.stdin
            try:
                with suppress(BrokenPipeError):  # restic ended early; its error message is read below
                    write(process.stdin)
                    process.stdin.close()
            except BaseException:
                # Kill restic before its input ends. Otherwise it would store the incomplete data as a complete file.
                process.kill()
                process.wait()
                raise
            status = process.wait()
            out.seek(0)
            errors.seek(0)
            if status:
                raise self.refusal(errors.read().decode(errors="replace"))
            summary: dict[str, Any] = json.loads(out.read().splitlines()[-1])
        return summary

    @contextmanager
    def read(self, snapshot: str, name: str) -> Iterator[IO[bytes]]:
        """Yield a file of a snapshot. The caller reads it to its end. Raises Refused if restic finds it damaged."""
        process = self.start("dump", snapshot, f"/{name}")
        assert process.stdout
        try:
            yield process.stdout
        except Inconclusive:
            process.kill()
            process.wait()
            raise
        except Exception as error:
            # If restic has failed, this exception is only a consequence of that, so report restic's message instead.
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
            if not process.poll():
                process.kill()
                process.wait()
                raise
            raise self.refusal((process.stderr.read() if process.stderr else b"").decode(errors="replace")) from error
        errors = process.communicate()[1]
        if process.returncode:
            raise self.refusal(errors.decode(errors="replace"))

    def snapshots(self, *tags: str) -> list[Mapping[str, Any]]:
        """Return the snapshots with all these tags, the oldest first."""
        found: list[Mapping[str, Any]] = json.loads(self.run("snapshots", "--json", "--tag", ",".join(tags))) or []
        return sorted(found, key=lambda snapshot: str(snapshot["time"]))
