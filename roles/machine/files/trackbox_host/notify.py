"""Messages by which a program tells systemd (sd_notify) that it is ready, or that it still works."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send systemd a state, such as READY=1 or WATCHDOG=1. Without systemd, do nothing."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), address.replace("@", "\0", 1))
