"""Promises about secrets: who can read them, and that no unit, process or public file shows them."""

from __future__ import annotations

import glob
import grp
import hashlib
import os
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from promises import Facts, promise
from tools import output, processes, walk

# Matches the words of a text that are compared with the secrets. Separators end a word, so a secret that contains a
# separator is not found.
WORD = re.compile(rb"[^\s\"'`=:,;@&?<>()\[\]{}|\\]{8,200}")
# The folders to search, because programs, users and jobs write files there that every user may be able to read.
READABLE = ("/etc", "/usr/local", "/var/log", "/var/lib/trackbox", "/var/spool", "/home", "/tmp", "/var/tmp", "/root")
LARGE = 1 << 20


@promise("host")
def settings_private(its: Facts) -> Iterator[str]:
    """Only root and the service in question can read its files under /etc/trackbox."""
    for path, found in walk("/etc/trackbox"):
        mode, group = stat.S_IMODE(found.st_mode), grp.getgrgid(found.st_gid).gr_name
        folder = path.split("/")[3] if path.count("/") > 2 else ""
        if path in its["public"]:
            continue
        if mode & 0o007:
            yield f"{path} has mode {mode:04o}"
        if group not in ("root", its["groups"].get(folder)):
            yield f"{path} belongs to the group {group}"
        if found.st_uid != 0:
            yield f"{path} belongs to {pwd.getpwuid(found.st_uid).pw_name}"


@promise("host")
def keys_private(its: Facts) -> Iterator[str]:
    """Only root can read the private keys of certificates and the secrets that systemd passes on."""
    for pattern in its["root_only"]:
        for path in glob.glob(pattern):
            found = os.stat(path)
            if found.st_mode & 0o077 or found.st_uid:
                yield f"{path} has owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}"


def found_in(its: Facts, text: bytes) -> Iterator[str]:
    """Yield the names of the secrets in a text. Secrets are recognised by their fingerprints."""
    salt = its["salt"].encode()
    for word in set(WORD.findall(text)):
        name = its["fingerprints"].get(hashlib.sha256(salt + word).hexdigest())
        if name:
            yield name


@promise("host")
def no_secret_in_units(its: Facts) -> Iterator[str]:
    """No property of a unit contains a secret."""
    shown = output("systemctl", "show", "*.service", "*.timer", "*.socket", "--all")
    for text in shown.split("\n\n"):
        for name in found_in(its, text.encode()):
            unit = re.search(r"^Id=(.+)$", text, re.MULTILINE)
            yield f"{unit[1] if unit else 'a unit'} shows {name}"


@promise("host")
def no_secret_in_processes(its: Facts) -> Iterator[str]:
    """No argument of a process contains a secret."""
    for process in processes():
        try:
            text = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield from (f"process {process} ({text.split(b' ')[0].decode()}) shows {name}" for name in found_in(its, text))


@promise("host")
def no_secret_in_files(its: Facts) -> Iterator[str]:
    """No file that everybody can read contains a secret."""
    for root in READABLE:
        for folder, folders, files in os.walk(root):
            # Skip folders that other users cannot enter.
            if not os.stat(folder).st_mode & 0o001:
                folders.clear()
                continue
            for path in (f"{folder}/{name}" for name in files):
                try:
                    found = os.lstat(path)
                    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o004 and found.st_size <= LARGE:
                        yield from (f"{path} shows {name}" for name in found_in(its, Path(path).read_bytes()))
                except FileNotFoundError:
                    continue
