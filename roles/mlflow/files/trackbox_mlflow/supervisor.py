"""A prefork supervisor: keeps a number of workers, which are forks of this process, and stops them together.

gunicorn with preload_app takes the same memory, but gives every worker all sockets (bench/RESULTS.md). Here, the
workers listen at different sockets of systemd (server.py).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
RESTART_DELAY = 1  # seconds before a failed worker is replaced; it may have failed because the database is down


def supervise(count: int, run: Callable[[int], None]) -> None:
    """Keep workers 0 to count - 1 running until SIGTERM or SIGINT; return when all ended. run: a worker's function."""
    workers: dict[int, int] = {}  # maps process IDs to workers' numbers
    stopping = False
    # Each signal is written as a byte into a pipe, so that none is lost between a check and a wait.
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    for one in SIGNALS:
        signal.signal(one, lambda *_: None)
    while workers or not stopping:
        if not stopping:
            for missing in sorted(set(range(count)) - set(workers.values())):
                workers[start_worker(missing, run)] = missing
        for number in os.read(signals, 1):
            if number == signal.SIGCHLD:
                reap(workers, stopping)
                continue
            stopping = True
            for process in workers:
                os.kill(process, number)


def start_worker(number: int, run: Callable[[int], None]) -> int:
    """Fork a worker; return its process ID."""
    # Block signals until the child has its own handlers. Otherwise the child would write into the parent's pipe.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    process = os.fork()
    if not process:
        run_worker(number, run)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return process


def run_worker(number: int, run: Callable[[int], None]) -> NoReturn:
    """Run a worker's function in the worker's process, and end the process."""
    signal.set_wakeup_fd(-1)
    for one in SIGNALS:
        signal.signal(one, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        run(number)
    except BaseException as error:
        print(f"worker {number}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def reap(workers: dict[int, int], stopping: bool) -> None:
    """Remove all workers that have ended from `workers`. One SIGCHLD may stand for several ended workers."""
    while workers:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        code = os.waitstatus_to_exitcode(status)
        print(f"worker {workers.pop(process)} ended with {code}", file=sys.stderr, flush=True)
        if not stopping and not os.WIFSIGNALED(status):
            time.sleep(RESTART_DELAY)
