"""Promises about the machine itself: ports, kernel limits, disk, memory, users and permissions."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from promises import Facts, Off, promise, promise_of_each
from tools import output, show, walk


def listeners(kind: str) -> Iterator[tuple[str, int, str, str]]:
    """Yield address, port, program and UID of each listening socket. kind: t for TCP, u for UDP."""
    for line in output("ss", f"-Hln{kind}pe").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        program = re.search(r'users:\(\("([^"]+)"', line)
        uid = re.search(r" uid:(\d+)", line)
        bare = address.partition("%")[0].strip("[]")
        yield bare, int(port), program[1] if program else "the kernel", uid[1] if uid else "0"


def loopback(address: str) -> bool:
    """Return whether an address can be reached from the machine only."""
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"


@promise("host")
def ports_open(its: Facts) -> Iterator[str]:
    """Only SSH and NGINX listen on the network."""
    for address, port, program, _ in listeners("t"):
        if not loopback(address) and port not in its["ports"]:
            yield f"{program} waits at {address}:{port}"
    for address, port, program, _ in listeners("u"):
        # Allow the UDP ports 68 and 546, on which a DHCP client listens.
        if not loopback(address) and port not in (68, 546, *its["ports"]):
            yield f"{program} waits at {address}:{port} (UDP)"


@promise_of_each("addresses")
def port_its_own(its: Facts) -> Iterator[str]:
    """{} listens at the configured addresses, and at no others."""
    uid = output("id", "--user", its["user"]).strip()
    held = [(address, port) for address, port, _, owner in listeners("t") if owner == uid]
    for wanted in its["addresses"]:
        address, _, port = wanted.rpartition(":")
        if "socket" in its:
            # With socket activation, systemd listens, and passes the socket to the service.
            found = show(its["socket"], "Listen", "ActiveState")
            if found["ActiveState"] == "active" and f"{wanted} (Stream)" in found["Listen"].splitlines():
                continue
        if (address.strip("[]"), int(port)) not in held:
            yield f"{its['user']} does not wait at {wanted}"
    if all(loopback(wanted.rpartition(":")[0].strip("[]")) for wanted in its["addresses"]):
        yield from (f"{its['user']} waits at {address}:{port}" for address, port in held if not loopback(address))


@promise("host")
def nothing_half_done(_: Facts) -> Iterator[str]:
    """No restore, no upgrade and no rotation was interrupted."""
    left = {"half-restored": "restore", "upgrading": "upgrade", "dumps/unfinished": "upgrade"}
    left["rotating/*"] = "rotate-secrets"
    for name in {left[files]: files for files in left if glob.glob(f"/var/lib/trackbox/{files}")}:
        yield f"{name} did not end: type playbooks/{name}.yml again"


@promise("host")
def units_well(_: Facts) -> Iterator[str]:
    """No unit has failed."""
    for line in output("systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines():
        yield f"{line.split()[0]} has failed"


# Programs that try to exceed a limit of their unit. They print "free" if the kernel does not enforce the limit.
ESCAPES = {
    "IPAddressDeny=127.0.0.2": """
import socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.2", 9))
    print("free")
except PermissionError:
    pass
""",
    # A child process allocates the memory, so that the unit itself does not fail when the child is killed.
    "MemoryMax=48M": """
import subprocess, sys
subprocess.run([sys.executable, "-I", "-c", "bytearray(160 << 20); print('free')"])
""",
    "TasksMax=8": """
import threading, time
try:
    for _ in range(24):
        threading.Thread(target=time.sleep, args=(1,)).start()
    print("free")
except RuntimeError:
    pass
""",
}


def enforced(its: Facts, limit: str) -> Iterator[str]:
    """Yield a finding if the kernel lets a unit exceed a limit, such as MemoryMax=48M. Raises Off in a container."""
    name, _, _ = limit.partition("=")
    command = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", f"--unit=trackbox-verify-{name}"]
    command += [f"--property={line}" for line in (limit, "MemorySwapMax=0", "OOMPolicy=continue", "RuntimeMaxSec=20")]
    if "free" not in output(*command, "/usr/bin/python3", "-I", "-c", ESCAPES[limit]):
        return
    found = f"the kernel does not enforce {name}= of units"
    if its["container"]:
        raise Off(f"{found}: in a container its host would have to")
    yield found


@promise("host")
def addresses_enforced(its: Facts) -> Iterator[str]:
    """The kernel enforces the units' limits of network addresses."""
    yield from enforced(its, "IPAddressDeny=127.0.0.2")


@promise("host")
def memory_enforced(its: Facts) -> Iterator[str]:
    """The kernel enforces the units' limits of memory."""
    yield from enforced(its, "MemoryMax=48M")


@promise("host")
def tasks_enforced(its: Facts) -> Iterator[str]:
    """The kernel enforces the units' limits of processes."""
    yield from enforced(its, "TasksMax=8")


@promise("host")
def disk_headroom(its: Facts) -> Iterator[str]:
    """Each disk has free space and free inodes."""
    for path in ("/", "/var", "/opt", "/var/lib", "/tmp", *its["folders"]):
        if os.path.isdir(path):
            usage, nodes = shutil.disk_usage(path), os.statvfs(path)
            free = usage.free / usage.total
            if free < its["free"] or (usage.free < 2**30 and usage.total > 2**31):
                yield f"{path} has {usage.free / 2**30:.1f} GB free, {free:.0%}"
            if nodes.f_files and nodes.f_favail / nodes.f_files < its["free"]:
                yield f"{path} has {nodes.f_favail} inodes free"


@promise("host")
def memory_headroom(its: Facts) -> Iterator[str]:
    """Enough memory is available."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    found = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    if found["MemAvailable"] < its["free"] * found["MemTotal"]:
        yield f"{found['MemAvailable'] // 1024} MB of {found['MemTotal'] // 1024} are left"


@promise("host")
def only_root_writes(_: Facts) -> Iterator[str]:
    """Only root can write to the folders of programs and settings."""
    for path, found in walk("/opt/trackbox", "/etc/trackbox", "/etc/systemd/system", "/etc/nginx", "/usr/local/bin"):
        if not stat.S_ISLNK(found.st_mode):
            if found.st_mode & 0o022 or found.st_uid != 0:
                yield f"{path} has owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}"
            elif found.st_mode & 0o6000 and stat.S_ISREG(found.st_mode):
                yield f"{path} runs as its owner"


@promise("host")
def groups_closed(its: Facts) -> Iterator[str]:
    """Groups that may read a service's files have only the configured members."""
    people = pwd.getpwall()
    for name, wanted in its["members"].items():
        group = grp.getgrnam(name)
        found = {*group.gr_mem, *(one.pw_name for one in people if one.pw_gid == group.gr_gid and one.pw_name != name)}
        yield from (f"{one} is in {name}" for one in sorted(found - set(wanted)))
        yield from (f"{one} is not in {name}" for one in sorted(set(wanted) - found))


@promise("host")
def root_alone(_: Facts) -> Iterator[str]:
    """Only root has the user number 0."""
    yield from (
        f"{one.pw_name} has the number 0" for one in pwd.getpwall() if one.pw_uid == 0 and one.pw_name != "root"
    )


@promise("host")
def programs_reachable(_: Facts) -> Iterator[str]:
    """Every user can read the programs under /opt/trackbox, whatever umask they were installed with."""
    for path, found in walk("/opt/trackbox"):
        wanted = 0o005 if stat.S_ISDIR(found.st_mode) else 0o004
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & wanted != wanted:
            yield f"{path} has mode {stat.S_IMODE(found.st_mode):04o}"
