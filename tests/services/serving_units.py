"""A replacement for systemd: run the real process of each model version, and pass its socket like a socket unit.

It also runs the real program that prepares environments, whenever the follower requests environments.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import trackbox_serving
from trackbox_serving.names import Unit
from trackbox_serving.settings import Settings
from trackbox_serving.version import Version

UV = Path(__file__).parents[2] / ".venv/bin/uv"


@dataclass
class Process:
    """The process of a model version and its socket. starts: number of starts."""

    version: Version
    listening: socket.socket
    process: subprocess.Popen[bytes]
    starts: int = 1


@dataclass
class Units:
    """Runs the units that wanted.json lists, and restarts a process that ends. command: starts a version's process.

    builder: process that prepares environments, and the modification time of the requests for which it was started.
    """

    settings: Settings
    command: Sequence[str]
    environment: dict[str, str]
    packages: bool = True
    builder: tuple[subprocess.Popen[bytes] | None, int] = (None, 0)
    processes: dict[str, Process] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self, version: Version, listening: socket.socket) -> subprocess.Popen[bytes]:
        """Start a version's process with the socket as its file descriptor 3."""
        # `exec` keeps the process id of the shell, so $$ is the id of the worker.
        unit = str(Unit(version.name, version.version))
        command = ["bash", "-c", 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "bash"]
        command += [str(listening.fileno()), *self.command, unit]
        return subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            pass_fds=(listening.fileno(),),
        )

    def look(self) -> None:
        """Start and stop processes until they match wanted.json."""
        path = self.settings.state / "wanted.json"
        names = json.loads(path.read_text())["units"] if path.exists() else []
        for name in set(self.processes) - set(names):
            self.end(self.processes.pop(name))
        for name in names:
            unit = Unit.parse(name)
            version = Version(self.settings, unit.name, unit.version)
            if name not in self.processes:
                listening = socket.socket(socket.AF_UNIX)
                version.socket.unlink(missing_ok=True)
                listening.bind(str(version.socket))
                listening.listen(128)
                self.processes[name] = Process(version, listening, self.start(version, listening))
            elif (code := self.processes[name].process.poll()) is not None:
                each = self.processes[name]
                (version.log / "ended").write_text(f"its process ended: exit-code, exited {code}\n")
                each.process, each.starts = self.start(version, each.listening), each.starts + 1

    def prepare(self) -> None:
        """Run the program that prepares environments, if the follower's requests have changed."""
        folder = self.settings.state / "environments"
        process, seen = self.builder
        if not self.packages:
            return
        if (process is not None and process.poll() is None) or not (folder / "wanted.json").exists():
            return
        if (asked := (folder / "wanted.json").stat().st_mtime_ns) != seen:
            self.settings.environments.mkdir(exist_ok=True)
            command = [sys.executable, "-m", "trackbox_serving.environments.build", str(UV), str(folder)]
            command += [str(self.settings.environments), "4096", "300"]
            self.builder = (subprocess.Popen(command, env={**os.environ, **self.environment}), asked)

    def end(self, each: Process) -> None:
        """Stop a process and its socket."""
        each.version.socket.unlink(missing_ok=True)
        each.process.send_signal(signal.SIGTERM)
        try:
            each.process.wait(10)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait(10)
        each.listening.close()

    def run(self) -> None:
        """Call `look` and `prepare` every 0.05 s until `stop` is set."""
        while not self.stop.wait(0.05):
            self.look()
            self.prepare()


@contextmanager
def watching(
    settings: Settings, command: Sequence[str] = (), packages: bool = True, **environment: str
) -> Iterator[Units]:
    """Run the units, and stop them at the end. packages: whether to prepare environments of versions."""
    path = settings.state / "serving.json"
    path.write_text(json.dumps(asdict(settings), default=str))
    worker = (sys.executable, "-m", "trackbox_serving.run_unit")
    program = str(Path(trackbox_serving.__file__).parents[1])
    variables = {"TRACKBOX_SERVING_SETTINGS": str(path), "PYTHONPATH": program, **environment}
    units = Units(settings, command or worker, variables, packages)
    thread = threading.Thread(target=units.run)
    thread.start()
    try:
        yield units
    finally:
        units.stop.set()
        thread.join()
        for each in units.processes.values():
            units.end(each)
        if units.builder[0]:
            units.builder[0].terminate()
            units.builder[0].wait()
