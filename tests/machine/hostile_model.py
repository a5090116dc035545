"""A hostile pickle runs this program while it is loaded.

The program runs the action that the variable `action` names, and stores a model in the variable `model`. The model's
predictions are the result of the action as JSON. The program runs on the machine, in the process that serves the model.
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
# System calls with which a program could leave a sandbox, and their numbers on x86-64.
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

# The log folder of the model `rules`. A version's unit may write only into the version's own subfolder.
OWN = f"{STATE}/log/rules"


def refuse() -> None:
    """Raise the error that marks an attempt as refused."""
    raise PermissionError


def make_socket(family: str) -> None:
    """Create a socket of an address family."""
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
    """Write a file in a folder."""
    Path(folder, "written-by-a-model").write_text("x")


def call(number: int) -> None:
    """Make a system call with invalid arguments.

    The kernel checks the arguments after the seccomp filter. So EPERM, EACCES and ENOSYS mean that the filter refuses
    the call, and any other error means that it allows the call.
    """
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.syscall(number, 0, 0, 0, 0, 0, 0)
    if ctypes.get_errno() in (1, 13, 38):
        refuse()


def set_user_bit() -> None:
    """Create a setuid file."""
    path = Path(os.environ["TMPDIR"], "own")
    path.touch()
    path.chmod(0o4755)


def write_and_run() -> None:
    """Map memory that is writable and executable."""
    import mmap

    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_READ | mmap.PROT_EXEC).close()


def others() -> Iterator[int]:
    """Yield the process ids of other users."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_uid != os.getuid():
                yield int(path.name)


def found(pattern: str) -> list[str]:
    """Return the paths that match a glob pattern."""
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
    """Yield each attempt that must be refused: its name, and the function that makes it."""
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
    """Make all attempts; return the names of those that succeeded."""
    possible = []
    for name, attempt in attempts():
        try:
            attempt()
        except (OSError, AttributeError):
            continue
        possible.append(name)
    return possible


def fork() -> list[str]:
    """Fork until an error, or 3,000 times; return the number of child processes that existed at once."""
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
    """Fill several folders with up to 4 GB each; return how many MB each folder accepted."""
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
    """Put a symbolic link, a named pipe and an invalid file into the log's folder, to attack the reader of the log."""
    [folder] = found(f"{OWN}/*")
    Path(folder, "2026010100-1-1.parquet").symlink_to("/etc/shadow")
    os.mkfifo(f"{folder}/2026010100-1-2.parquet")
    Path(folder, "2026010100-1-3.parquet").write_bytes(b"PAR1 no log PAR1")
    return []


def outlive() -> list[str]:
    """Start a background process that would outlive the version."""
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
    """Loop forever."""
    while True:
        pass


def allocate() -> list[str]:
    """Allocate 10 GB of memory, and write to each page."""
    taken = [bytearray(b"x" * (64 << 20)) for _ in range(160)]
    return [str(len(taken))]


def leave() -> list[str]:
    """End the process with exit status 0, as if no error had occurred."""
    os._exit(0)


class Model:
    """A model that predicts the same value for each row."""

    def __init__(self, said: str | float) -> None:
        self.said = said

    def predict(self, rows: Any) -> list[str | float]:
        """Return a prediction for each row; for the action `hang`, only after an hour."""
        if action == "hang":
            time.sleep(3600)
        return [self.said] * len(rows)


ACTIONS: dict[str, Callable[[], list[str]]] = {
    each.__name__: each for each in (probe, fork, fill, plant, outlive, loop, allocate, leave)
}
model = Model(json.dumps(ACTIONS[action]()) if action in ACTIONS else float(argument or 0.5))
