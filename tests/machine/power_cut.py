"""Cut the power of a local VM whose folder is a mounted ext4 image."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from machine import ROOT, Machine

EXT4_IOC_SHUTDOWN, WITHOUT_LOG = 0x8004587D, struct.pack("I", 2)
LOCAL_VM = ROOT / "roles/local_vm/files/local-vm"


def run(*command: object) -> str:
    """Run a command on the controller; return its output."""
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=True).stdout


@dataclass(frozen=True)
class Power:
    """A local VM: its name, its folder and its address."""

    name: str
    folder: Path
    address: str

    def cut(self) -> float:
        """Shut down the file system, so that data not yet on the disk are lost; then kill every process.

        Returns the time of the cut. Unlike after a real power cut, processes still respond for some milliseconds.
        """
        supervisor = int((self.folder / "supervisor.pid").read_text())
        disk = os.open(self.folder, os.O_RDONLY)
        now = time.time()
        fcntl.ioctl(disk, EXT4_IOC_SHUTDOWN, WITHOUT_LOG)
        os.close(disk)
        with suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGKILL)
        subprocess.run(
            ["pkill", "-KILL", "-f", f"^systemd-nspawn --quiet --directory={self.folder}/rootfs "], check=False
        )
        while pids := run("ip", "netns", "pids", f"trackbox-{self.name}").split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.1)
        while subprocess.run(["umount", self.folder], stderr=subprocess.DEVNULL, check=False).returncode:
            time.sleep(0.2)
        return now

    def on(self, memory: str = "") -> None:
        """Mount the file system, which replays its journal, and boot. memory: memory limit, such as `3G`."""
        image = f"{self.folder}.img"
        if run("losetup", "--associated", image):
            # Another VM that started since the last mount keeps the loop device busy, so mount a copy of the image.
            run("cp", "--sparse=always", image, f"{image}.copy")
            run("mv", f"{image}.copy", image)
        run("mount", "-o", "loop", image, self.folder)
        run(LOCAL_VM, "start", self.folder, self.name, self.address, memory)


@pytest.fixture(scope="session")
def power(machine: Machine) -> Iterator[Power]:
    """Yield the machine's power switch, after the installation's writes are synced to the disk."""
    folder = ROOT / ".trackbox" / machine.name
    assert folder.is_mount(), f"{folder} is no file system of its own: molecule/faults/create.yml makes one"
    os.sync()
    yield Power(machine.name, folder, machine.address)
    # Sync the writes of the tests to the disk before other tests use the machine.
    os.sync()
