"""Ansible callback plugin: the default screen output, but a task's name is printed while the task still runs."""

from __future__ import annotations

DOCUMENTATION = """
name: progress
type: stdout
short_description: The default screen output, never silent for long
description:
  - With C(display_skipped_hosts=false) the default callback prints a task's name only when the task has ended. This one
    prints it after O(banner_after) seconds, and from then on a line every O(interval) seconds. A task that is skipped
    sooner leaves no line, and one that is skipped later says so. Nothing is erased, so a log reads like a screen.
  - A task that is tried again shows the last line of its output.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  banner_after:
    description: Seconds until the name of a task that still runs is printed.
    type: float
    default: 1
    ini: [{section: callback_progress, key: banner_after}]
    env: [{name: TRACKBOX_BANNER_AFTER}]
  interval:
    description: Seconds between two lines that say that a task still runs.
    type: float
    default: 10
    ini: [{section: callback_progress, key: interval}]
    env: [{name: TRACKBOX_PROGRESS_INTERVAL}]
"""

import threading
import time
from typing import Any

from ansible import constants as C  # noqa: N812 - Ansible's own plugins use this name
from ansible.plugins.callback.default import CallbackModule as DefaultCallback


class CallbackModule(DefaultCallback):  # type: ignore[misc]  # Ansible has no types
    """The default callback, and a thread (the reporter) that prints the name of a running task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "progress"

    def __init__(self) -> None:
        """Set up the state. The reporter starts with the first task, because the options are not known before."""
        super().__init__()
        self._changed = threading.Condition(threading.RLock())
        self._reporter: threading.Thread | None = None
        self._task: Any = None
        self._began = 0.0
        # The last task whose name was printed before its result.
        self._named_early: Any = None
        self._next_line = 0.0
        # The number of hosts that have not finished the current task yet.
        self._pending = 0

    def _report(self) -> None:
        """Run the reporter: print the running task's name when it is due, then its running time at each interval."""
        with self._changed:
            while self._reporter:
                now = time.monotonic()
                if not self._pending:
                    self._changed.wait()
                elif now < self._next_line:
                    self._changed.wait(self._next_line - now)
                else:
                    self._next_line += self.get_option("interval")
                    self._report_task(now - self._began)

    def _report_task(self, seconds: float) -> None:
        """Print one line: the task's name if it is not on the screen yet, else how long the task has been running."""
        if self._last_task_banner != self._task._uuid:
            self._named_early = self._task._uuid
            self._print_task_banner(self._task)
        else:
            self._display.display(f"… still running after {seconds:.0f} s: {self._last_task_name}", color=C.COLOR_DEBUG)

    def _print_task_banner(self, task: Any) -> None:
        """Print the task's name only once, although both the reporter and each result of the task call this method."""
        with self._changed:
            if self._last_task_banner != task._uuid:
                super()._print_task_banner(task)

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        """Tell the reporter which task runs. With the strategy `free`, several run at once, so none is reported."""
        with self._changed:
            super()._task_start(task, prefix)
            self._task, self._pending, self._began = task, 0, time.monotonic()
            self._next_line = self._began + self.get_option("banner_after")
            if self._reporter is None:
                self._reporter = threading.Thread(target=self._report, daemon=True)
                self._reporter.start()

    def _host_ended(self) -> None:
        with self._changed:
            self._pending = max(self._pending - 1, 0)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Count the host among those that still run the task."""
        super().v2_runner_on_start(host, task)
        with self._changed:
            if self._last_task_name is not None:
                self._pending += 1
                self._changed.notify()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count the host as done, and show its result."""
        self._host_ended()
        super().v2_runner_on_ok(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Count the host as done, and show its result."""
        self._host_ended()
        super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Count the host as done, and show its result."""
        self._host_ended()
        super().v2_runner_on_skipped(result)
        if self._named_early == result.task._uuid and not self.get_option("display_skipped_hosts"):
            self._display.display(f"skipping: [{result.host.get_name()}]", color=C.COLOR_SKIP)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Count the host as done, and show its result."""
        self._host_ended()
        super().v2_runner_on_unreachable(result)

    def v2_runner_retry(self, result: Any) -> None:
        """Print that Ansible tries the task again, and the last line of the task's output."""
        self._print_task_banner(result.task)
        left = result.result["retries"] - result.result["attempts"]
        said = str(result.result.get("stdout") or "").splitlines() or [f"not yet, {left} more tries"]
        self._display.display(f"waiting: [{self.host_label(result)}]: {said[-1]}", color=C.COLOR_DEBUG)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Stop reporting, and print the recap."""
        with self._changed:
            self._reporter, self._pending = None, 0
            self._changed.notify()
        super().v2_playbook_on_stats(stats)
