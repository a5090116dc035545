"""Alerts are raised by their causes on a real machine, and clear when the cause is gone. The tests print the times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from machine import Machine
from testinfra.host import Host


@dataclass(frozen=True)
class Cause:
    """The cause of an alert: commands that create and remove the cause, and words of the alert's summary.

    raised, cleared: the time limits in seconds for the alert to be raised, and to clear. With cleared=0, the test does
    not wait until the alert clears.
    """

    broken: str
    mended: str
    says: str
    raised: float = 240
    cleared: float = 120


TEXTFILES = "/var/lib/trackbox-monitoring/textfile"
BACKUP = "/var/lib/trackbox/backup"
CAUSES = {
    "ServiceDown": Cause(
        "systemctl stop mlflow.socket mlflow", "systemctl start mlflow.socket mlflow", "mlflow.service does not run."
    ),
    "ServiceRestarts": Cause(
        "for i in 1 2 3 4 5 6; do systemctl kill --signal=KILL minio; sleep 4; done",
        "true",
        "minio.service ended unexpectedly",
        # The alert counts the restarts of the last 15 minutes, so it clears only after that time.
        cleared=0,
    ),
    "UnitFailed": Cause(
        "systemd-run --quiet --unit=evil --wait false || true",
        "systemctl reset-failed evil",
        "evil.service has failed.",
    ),
    "SourceDown": Cause(
        "systemctl stop trackbox-mysql-exporter", "systemctl start trackbox-mysql-exporter", "the metrics of mysql"
    ),
    "BackupOld": Cause(
        f'mkdir -p {BACKUP}; echo \'{{"last_success_unix": 1, "error": ""}}\' >{BACKUP}/last.json',
        f"rm -r {BACKUP}",
        "No backup has ever succeeded.",
        raised=60,
    ),
    "CertificateEnds": Cause(
        "cp /etc/trackbox/certificates /root/; now=$(date +%s);"
        ' echo "server $((now - 34000000)) $((now + 600000))" >/etc/trackbox/certificates',
        "mv /root/certificates /etc/trackbox/",
        "The certificate server",
        raised=60,
    ),
    "TextfileBroken": Cause(f"echo 'evil 1 2 3' >{TEXTFILES}/evil.prom", f"rm {TEXTFILES}/evil.prom", "cannot be read"),
    "SettingsNotLoaded": Cause(
        "cp /etc/trackbox/monitoring/prometheus.yml /root/; echo evil >>/etc/trackbox/monitoring/prometheus.yml;"
        " systemctl reload trackbox-prometheus",
        "mv /root/prometheus.yml /etc/trackbox/monitoring/; systemctl reload trackbox-prometheus",
        "old settings",
    ),
}
# While Prometheus is stopped, no other alert is visible, so this alert is tested alone.
ALONE = {
    "MonitoringDown": Cause(
        "systemctl stop trackbox-prometheus",
        "systemctl start trackbox-prometheus",
        "Prometheus does not answer",
        30,
        60,
    )
}


def problems(host: Host) -> dict[str, str]:
    """Return the summaries of all raised alerts, by alert name. Several summaries of one name are joined."""
    found: dict[str, str] = {}
    for each in json.loads(host.check_output("cat /run/trackbox-monitoring/status.json"))["problems"]:
        found[each["name"]] = f"{found.get(each['name'], '')} {each['summary']}"
    return found


def wait(host: Host, seen: Callable[[dict[str, str]], bool], seconds: float) -> float:
    """Wait until `seen` returns true for the raised alerts; return the seconds that it took."""
    start = time.monotonic()
    while not seen(problems(host)):
        assert time.monotonic() - start < seconds, f"not after {seconds} s: {problems(host)}"
        time.sleep(2)
    return time.monotonic() - start


@pytest.fixture(scope="module", params=[CAUSES, ALONE], ids=["together", "alone"])
def causes(request: pytest.FixtureRequest, host: Host) -> Iterator[dict[str, Cause]]:
    """Yield causes that can be tested at the same time; remove them at the end, even if a test failed."""
    found: dict[str, Cause] = request.param
    yield found
    for cause in found.values():
        host.run("bash -c %s", cause.mended)


def test_all_is_well_before(host: Host) -> None:
    wait(host, lambda found: not found, 180)


def test_an_alert_is_raised_and_clears(host: Host, machine: Machine, causes: dict[str, Cause]) -> None:
    rows = {name: [0.0, 0.0] for name in causes}
    for cause in causes.values():
        host.check_output("bash -c %s", cause.broken)
    for column, raised in enumerate((True, False)):
        if not raised:
            for cause in causes.values():
                host.check_output("bash -c %s", cause.mended)
        start = time.monotonic()
        open_names = {name for name, cause in causes.items() if raised or cause.cleared}
        while open_names:
            found, passed = problems(host), time.monotonic() - start
            for name in sorted(open_names):
                if (causes[name].says in found.get(name, "")) == raised:
                    rows[name][column] = passed
                    open_names.remove(name)
            late = {name for name in open_names if passed > (causes[name].raised if raised else causes[name].cleared)}
            assert late == set(), f"{'not raised' if raised else 'not cleared'} after {passed:.0f} s: {found}"
            time.sleep(2)
    for name, (up, down) in rows.items():
        print(f"{name:20} raised after {up:4.0f} s, cleared after {down:4.0f} s")
    machine.wait_for_health(200, 60)
