"""Write metrics for node exporter, and a status for people, every few seconds: trackbox_monitoring SETTINGS."""

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
from trackbox_monitoring.jobs import certificate_metrics, job_metrics, limit_metrics
from trackbox_monitoring.nginx_log import NginxLog
from trackbox_monitoring.versions import version_metrics

# Seconds between two rounds.
ROUND = 5.0
# The follower of serving writes its metrics often. If its file is older than this many seconds, the follower has
# stopped, and the metrics in the file are no longer true.
OLD = 60.0

JOBS = Path("/var/lib/trackbox")
CERTIFICATES = Path("/etc/trackbox/certificates")
NGINX_LOG = Path("/var/log/nginx/access.log")
SERVING = Path("/run/trackbox-serving/metrics.prom")
PROGRAMS = Path("/opt/trackbox")


class Monitor:
    """Writes the metrics and the status in rounds.

    settings: the content of status.json, which is __monitoring_given in vars/main.yml. root: the folder that replaces /
    in the paths that are read; only tests set it.
    """

    def __init__(self, settings: dict[str, Any], root: Path = Path("/")) -> None:
        self.settings = settings
        self.root = root
        self.textfiles, self.run = Path(settings["textfiles"]), Path(settings["run"])
        self.log = NginxLog(self.at(NGINX_LOG)) if "nginx" in settings["services"] else None
        self.printed: dict[str, str] = {}
        self.charts = Charts(settings["prometheus"], self.run / "page", settings["services"], settings["interval"])

    def at(self, path: Path) -> Path:
        """Return a path of the machine below `root`."""
        return self.root / path.relative_to("/")

    def round(self) -> bool:
        """Write metrics and status; return whether all succeeded. Print the traceback of an unexpected error."""
        well = True
        for action in (self.write_metrics, self.write_serving, self.write_status):
            try:
                action()
            except Exception:
                traceback.print_exc()
                well = False
        return well

    def write_metrics(self) -> None:
        """Write the metrics of jobs, certificates, versions and NGINX."""
        families = job_metrics(self.at(JOBS), self.settings["expected_jobs"])
        families += limit_metrics(self.root, self.settings["job_limits"])
        families += certificate_metrics(self.at(CERTIFICATES)) + version_metrics(self.at(PROGRAMS))
        if self.log:
            self.log.count()
            families += self.log.metrics()
            self.say("log", self.log.problem)
        replace(self.textfiles / "trackbox.prom", rendered(families))

    def write_serving(self) -> None:
        """Copy the metrics of served models from the file of serving's follower; delete the copy if it is old."""
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
        """Write the problems of the machine as a page, as text for terminals, and as JSON."""
        problems = alerts.problems(self.settings["prometheus"], self.settings["interval"])
        now = timestamp(time.time())
        known = {"headline": page.headline(problems), "time": now, "problems": [asdict(each) for each in problems]}
        publish(self.run / "page", page.page(problems, now))
        replace(self.run / "status.txt", page.lines(problems))
        replace(self.run / "status.json", json.dumps(known, indent=2) + "\n")

    def say(self, part: str, problem: str) -> None:
        """Print a problem of a part of the program, but do not repeat it while it stays the same."""
        if problem and problem != self.printed.get(part):
            print(problem, file=sys.stderr, flush=True)
        self.printed[part] = problem

    def write_charts(self, stop: threading.Event) -> None:
        """Write each chart file when it is due, until the program stops. A query may take seconds."""
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
    # Charts are written in their own thread, so that the status does not wait for a query over 90 days.
    threading.Thread(target=monitor.write_charts, args=(stop,), daemon=True).start()
    while not stop.wait(ROUND):
        # Without this notification systemd restarts the program, which removes the outdated status.
        if monitor.round():
            notify("WATCHDOG=1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
