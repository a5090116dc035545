"""Write metrics for node exporter, and what is wrong for people, every few seconds: trackbox_monitoring SETTINGS."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from trackbox_host.notify import notify
from trackbox_host.page import publish
from trackbox_host.status import replace, timestamp

from trackbox_monitoring import alerts, page
from trackbox_monitoring.exposition import rendered
from trackbox_monitoring.history import Charts
from trackbox_monitoring.jobs import certificate_metrics, job_metrics
from trackbox_monitoring.nginx_log import NginxLog
from trackbox_monitoring.versions import version_metrics

# Seconds between two rounds; and the age from which serving's metrics are those of a follower that has stopped.
ROUND = 5.0
OLD = 60.0

JOBS = Path("/var/lib/trackbox")
CERTIFICATES = Path("/etc/trackbox/certificates")
NGINX_LOG = Path("/var/log/nginx/access.log")
SERVING = Path("/run/trackbox-serving/metrics.prom")
PROGRAMS = Path("/opt/trackbox")


class Monitor:
    """The rounds. settings: as tasks/main.yml writes them. root: the folder under which the machine's paths lie."""

    def __init__(self, settings: dict[str, Any], root: Path = Path("/")) -> None:
        self.settings = settings
        self.root = root
        self.textfiles, self.run = Path(settings["textfiles"]), Path(settings["run"])
        self.log = NginxLog(self.at(NGINX_LOG)) if "nginx" in settings["services"] else None
        self.printed: dict[str, str] = {}
        self.charts = Charts(settings["prometheus"], self.run / "page", settings["services"], settings["interval"])

    def at(self, path: Path) -> Path:
        """Return where a path of the machine lies."""
        return self.root / path.relative_to("/")

    def round(self) -> bool:
        """Write metrics and status; return whether that went well. An error of the program itself is printed."""
        well = True
        for action in (self.write_metrics, self.write_serving, self.write_status):
            try:
                action()
            except Exception:
                traceback.print_exc()
                well = False
        return well

    def write_metrics(self) -> None:
        """Write the metrics of jobs, certificates and NGINX."""
        families = job_metrics(self.at(JOBS), self.settings["expected_jobs"])
        families += certificate_metrics(self.at(CERTIFICATES)) + version_metrics(self.at(PROGRAMS))
        if self.log:
            self.log.count()
            families += self.log.metrics()
            self.say("log", self.log.problem)
        replace(self.textfiles / "trackbox.prom", rendered(families))

    def write_serving(self) -> None:
        """Pass on the metrics of served models, which their follower has written; none that are old."""
        source, copy = self.at(SERVING), self.textfiles / "serving.prom"
        try:
            fresh = time.time() - source.stat().st_mtime < OLD
            text = source.read_text() if fresh else ""
        except OSError:
            text = ""
        if text:
            replace(copy, text)
        else:
            copy.unlink(missing_ok=True)

    def write_status(self) -> None:
        """Write what is wrong: the page, the lines for terminals, and the same as JSON."""
        problems = alerts.problems(self.settings["prometheus"], self.settings["interval"])
        now = timestamp(time.time())
        known = {"headline": page.headline(problems), "time": now, "problems": [asdict(each) for each in problems]}
        publish(self.run / "page", page.page(problems, now))
        replace(self.run / "status.txt", page.lines(problems))
        replace(self.run / "status.json", json.dumps(known, indent=2) + "\n")

    def say(self, part: str, problem: str) -> None:
        """Print a problem of a part of the program once, until it is gone."""
        if problem and problem != self.printed.get(part):
            print(problem, file=sys.stderr, flush=True)
        self.printed[part] = problem

    def write_charts(self, stop: threading.Event) -> None:
        """Write the files of charts that are due, until the program stops. A query may take seconds."""
        while not stop.is_set():
            try:
                self.say("charts", self.charts.write_due())
            except Exception:
                traceback.print_exc()
            stop.wait(ROUND)


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    monitor, stop = Monitor(json.loads(Path(sys.argv[1]).read_text())), threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    monitor.round()
    notify("READY=1")
    # A thread of its own, so that the status does not wait for a query over 90 days.
    threading.Thread(target=monitor.write_charts, args=(stop,), daemon=True).start()
    while not stop.wait(ROUND):
        # Otherwise systemd restarts the program, and the status that is out of date is gone.
        if monitor.round():
            notify("WATCHDOG=1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
