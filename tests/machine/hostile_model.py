"""What a hostile pickle runs while it is loaded: `action`. It leaves `model`, whose answers say what it could do.

It runs on the machine, in the process that serves the model, with the Python of the machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

action: str = globals().get("action", "nothing")
argument: str = globals().get("argument", "")
STATE = "/var/lib/trackbox-serving"
# Of x86-64. Each would be of use to leave a sandbox.
CALLS = {
    "mount": 165,
    "init_module": 175,
    "kexec_load": 246,
    "keyctl": 250,
    "unshare": 272,
    "perf_event_open": 298,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
}
FAMILIES = ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG")
SOCKETS = (
    "/run/mysqld/mysqld.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/run/systemd/journal/stdout",
    "/run/trackbox-serving/fraud/champion.sock",
)
READ = (
    "/etc/shadow",
    "/etc/trackbox/serving/*",
    "/etc/trackbox/*/*.env",
    "/etc/trackbox/*.key",
    "/etc/ssh/ssh_host_*_key",
    "/root",
    "/home/*",
    "/run/credentials",
    "/var/lib/mysql",
    "/var/lib/minio",
    "/var/lib/mlflow",
    "/var/log",
    "/boot",
    "/proc/kcore",
    "/proc/1/environ",
    "/dev/mem",
    "/dev/vda",
    f"{STATE}/*.json",
    f"{STATE}/replay/*",
    f"{STATE}/log/fraud/*",
    f"{STATE}/models/fraud/*",
)
WRITTEN = (
    "/", "/etc", "/usr/local/bin", "/opt/trackbox/serving", sys.prefix, str(Path.cwd()), STATE, f"{STATE}/models/rules",
    "/run", "/run/systemd", "/tmp", "/var/tmp", "/var/lib", "/var/log", "/home", "/root", "/srv", "/boot",
    "/sys/fs/cgroup", "/proc/sys/kernel",
)  # fmt: skip
# Where the unit may write.
OWN = f"{STATE}/log/rules"


def refuse() -> None:
    """Say that something was not possible."""
    raise PermissionError


def make_socket(family: str) -> None:
    """Make a socket of a family."""
    socket.socket(getattr(socket, family)).close()


def connect(family: int, address: Any) -> None:
    """Connect to an address."""
    with socket.socket(family) as line:
        line.settimeout(2)
        line.connect(address)


def read(path: str) -> None:
    """Read a file, or list a folder."""
    if Path(path).is_dir():
        list(Path(path).iterdir())
        return
    with Path(path).open("rb") as file:
        file.read(1)


def write(folder: str) -> None:
    """Write a file."""
    Path(folder, "written-by-a-model").write_text("x")


def call(number: int) -> None:
    """Make a system call with arguments that are wrong: the kernel looks at them after the filter."""
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.syscall(number, 0, 0, 0, 0, 0, 0)
    if ctypes.get_errno() in (1, 13, 38):
        refuse()


def set_user_bit() -> None:
    """Make a file that runs as its owner."""
    path = Path(os.environ["TMPDIR"], "own")
    path.touch()
    path.chmod(0o4755)


def write_and_run() -> None:
    """Take memory in which a program writes its next instructions."""
    import mmap

    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_READ | mmap.PROT_EXEC).close()


def others() -> Iterator[int]:
    """Yield the numbers of other users' processes."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_uid != os.getuid():
                yield int(path.name)


def found(pattern: str) -> list[str]:
    """Return the paths of a pattern."""
    return [str(path) for path in Path("/").glob(pattern.lstrip("/"))]


def mirrors() -> set[str]:
    """Return the hosts of the machine's package sources."""
    texts = [
        Path(path).read_text()
        for path in found("/etc/apt/sources.list*") + found("/etc/apt/sources.list.d/*")
        if Path(path).is_file()
    ]
    hosts = set(re.findall(r"^(?:URIs:|deb).*?https?://([^/:\s]+)", "\n".join(texts), re.MULTILINE))
    if not hosts:
        raise LookupError("the machine has no package source whose host could be looked up")
    return hosts


def attempts() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what a model may not do."""
    for name in FAMILIES:
        yield f"make a socket of {name}", partial(make_socket, name)
    for port in (22, 80, 443, 3306, 5000, 9000, 9001, 9443):
        for host in ("127.0.0.1", argument):
            yield f"connect to {host}:{port}", partial(connect, socket.AF_INET, (host, port))
    for host in sorted(mirrors()):
        yield f"look up {host}", partial(socket.getaddrinfo, host, 443)
    for path in SOCKETS:
        yield f"connect to {path}", partial(connect, socket.AF_UNIX, path)
    for pattern in READ:
        for path in found(pattern):
            yield f"read {path}", partial(read, path)
    for folder in (*WRITTEN, *found(f"{STATE}/models/*/*/model")):
        yield f"write to {folder}", partial(write, folder)
    for name, number in CALLS.items():
        yield f"call {name}", partial(call, number)
    for number in others():
        yield f"signal process {number}", partial(os.kill, number, 0)
    yield "signal process 1", partial(os.kill, 1, 0)
    yield "become root", partial(os.setuid, 0)
    yield "change the root", partial(os.chroot, "/tmp")
    yield "set the clock", partial(time.clock_settime, time.CLOCK_REALTIME, time.time())
    yield "run before the database", partial(os.setpriority, os.PRIO_PROCESS, 0, -5)
    yield "run in real time", partial(os.sched_setscheduler, 0, os.SCHED_RR, os.sched_param(1))
    yield "make a device", partial(os.mknod, f"{os.environ['TMPDIR']}/device", 0o20666, os.makedev(1, 3))
    yield "make a file that runs as its owner", set_user_bit
    yield "write to its own instructions", write_and_run


def probe() -> list[str]:
    """Try it all; return what was possible."""
    possible = []
    for name, attempt in attempts():
        try:
            attempt()
        except (OSError, AttributeError):
            continue
        possible.append(name)
    return possible


def fork() -> list[str]:
    """Fork without end, at most 3,000 times; return how many processes there were at once."""
    children = []
    try:
        for _ in range(3000):
            child = os.fork()
            if not child:
                time.sleep(3600)
                os._exit(0)
            children.append(child)
    except OSError:
        pass
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return [str(len(children))]


def fill() -> list[str]:
    """Write to each folder that takes it, at most 4 GB; return how many MB each took."""
    taken = []
    for folder in (os.environ["TMPDIR"], "/tmp", "/dev/shm", *found(f"{OWN}/*")):
        size = 0
        for number in range(64):
            try:
                with Path(folder, f"fill-{number}").open("wb") as file:
                    for _ in range(16):
                        size += file.write(bytes(4 << 20)) >> 20
            except OSError:
                break
        taken.append(f"{folder}: {size}")
    return taken


def plant() -> list[str]:
    """Put into the folder of the log what a careless reader would send on: a link, a pipe, what is no log."""
    [folder] = found(f"{OWN}/*")
    Path(folder, "2026010100-1-1.parquet").symlink_to("/etc/shadow")
    os.mkfifo(f"{folder}/2026010100-1-2.parquet")
    Path(folder, "2026010100-1-3.parquet").write_bytes(b"PAR1 no log PAR1")
    return []


def outlive() -> list[str]:
    """Leave a process that wants to outlive the version."""
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        for descriptor in range(3):
            os.close(descriptor)
        time.sleep(3600)
        os._exit(0)
    return []


def loop() -> list[str]:
    """Never end."""
    while True:
        pass


def allocate() -> list[str]:
    """Take 10 GB of memory, and write to each page."""
    taken = [bytearray(b"x" * (64 << 20)) for _ in range(160)]
    return [str(len(taken))]


def leave() -> list[str]:
    """End the process, as if all were well."""
    os._exit(0)


class Model:
    """Answers each row with what was possible."""

    def __init__(self, said: str | float) -> None:
        self.said = said

    def predict(self, rows: Any) -> list[str | float]:
        """Return an answer for each row."""
        if action == "hang":
            time.sleep(3600)
        return [self.said] * len(rows)


ACTIONS: dict[str, Callable[[], list[str]]] = {
    each.__name__: each for each in (probe, fork, fill, plant, outlive, loop, allocate, leave)
}
model = Model(json.dumps(ACTIONS[action]()) if action in ACTIONS else float(argument or 0.5))
