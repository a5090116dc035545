"""Print the state of a machine as JSON: files, users, units, listeners, firewall rules and mounts, with properties.

The tests run this script on the machine. It needs only Python's standard library.
"""

import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path

# Folders that the state omits, because their content is lost at a reboot or changes all the time.
VOLATILE = {"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"}
COMMANDS = {
    "user": "getent passwd",
    "group": "getent group",
    "enabled": "systemctl list-unit-files --no-legend --plain --state=enabled,masked",
    "failed": "systemctl list-units --no-legend --plain --failed",
    "listens": 'python3 -c \'for kind in "tcp", "tcp6", "udp", "udp6":\n'
    ' for line in open("/proc/net/" + kind).readlines()[1:]:\n'
    "  word = line.split()\n"
    '  if word[3] in ("0A", "07"): print(kind, word[1])\'',
    "rule": "nft --stateless list ruleset 2>/dev/null || true",
    "mounted": "findmnt --noheadings --raw --output TARGET",
}


def about(path: Path) -> str:
    """Return the mode, owners and content hash of a path."""
    found = path.lstat()
    text = f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}"
    if path.is_symlink():
        return f"{text} {path.readlink()}"
    return f"{text} {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else text


things = {}
for folder, names, files in os.walk("/"):
    names[:] = [name for name in names if str(Path(folder, name)) not in VOLATILE]
    for name in names + files:
        path = Path(folder, name)
        things[str(path)] = about(path)
for kind, command in COMMANDS.items():
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    things |= {" ".join([kind, *line.split()]): "" for line in done.stdout.splitlines()}
print(json.dumps(things))
