"""Monitoring: the status page, the status shown at login, all sources of metrics, and the exporter's rights."""

from __future__ import annotations

import json
import time

from machine import Machine
from testinfra.host import Host

# A program that prints the response of a URL. Debian's minimal system contains no curl.
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


def fetch(host: Host, address: str) -> str:
    """Return the response of a server on the machine's loopback address. address: port and path."""
    return str(host.check_output("python3 -c %s %s", FETCH, f"http://127.0.0.1:{address}"))


def status(host: Host) -> dict[str, object]:
    """Return the content of monitoring's status file."""
    found: dict[str, object] = json.loads(host.check_output("cat /run/trackbox-monitoring/status.json"))
    return found


def test_the_page_needs_a_password_and_has_no_script_in_itself(machine: Machine, host: Host) -> None:
    answer = machine.ask("/status/", user="admin", password=machine.secret("admin_password"))
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self';"
    )
    assert str(status(host)["headline"]) in answer.body.decode()
    assert answer.body.count(b"<script") == answer.body.count(b'<script src="/status/')
    assert machine.ask("/status/").status == 401
    style = machine.ask("/status/style.css", user="admin", password=machine.secret("admin_password"))
    assert (style.status, style.headers["Content-Type"]) == (200, "text/css")
    for path in (
        "/status/status.json",
        "/status/../run/trackbox-monitoring/status.json",
        "/status/api/v1/query?query=up",
        "/status/charts-1y.json",
        "/status/charts-1h.json/../status.json",
    ):
        assert machine.ask(path, user="admin", password=machine.secret("admin_password")).status == 404


def test_the_charts_of_all_ranges_are_there(machine: Machine) -> None:
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    for name, kind in {
        "charts.js": "application/javascript",
        "dygraph.js": "application/javascript",
        "charts.css": "text/css",
    }.items():
        answer = machine.ask(f"/status/{name}", **admin)
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        assert answer.headers["Cache-Control"] == "no-cache"
    for name in ("1h", "24h", "7d", "90d"):
        # The first files after a start of monitoring contain no rates yet. Monitoring writes them again after a minute.
        deadline = time.monotonic() + 90
        while b'"requests"' not in (answer := machine.ask(f"/status/charts-{name}.json", **admin)).body:
            assert time.monotonic() < deadline, answer.body[:300]
            time.sleep(2)
        assert (answer.status, machine.ask(f"/status/charts-{name}.json").status) == (200, 401)
        found = json.loads(answer.body)
        # Charts of backups, models and buckets may be missing. MinIO reports a bucket's size only once it has counted
        # the objects, and only if the size is not 0.
        keys = {chart["key"] for chart in found["charts"]}
        assert {"requests", "cpu", "memory", "disk", "queries", "certificates"} <= keys
        # The services started within the last 90 days, so the file of the range 90d must contain marks of restarts.
        assert name != "90d" or "restart" in {mark["kind"] for mark in found["marks"]}
        assert [chart["text"] for chart in found["charts"] if "cannot compute" in chart["text"]] == []
        assert len(answer.body) < 200_000


def test_a_login_begins_with_the_status(host: Host) -> None:
    told = host.check_output("trackbox-status")
    assert told.splitlines()[0] == f"Trackbox: {status(host)['headline']}"
    assert host.check_output("run-parts /etc/update-motd.d").count(f"Trackbox: {status(host)['headline']}") == 1


def test_every_source_is_read_and_every_rule_is_evaluated(host: Host) -> None:
    def ask(path: str) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = json.loads(fetch(host, f"9490/api/v1/{path}"))["data"]
        return found

    # Wait, because Prometheus scrapes its targets only every 15 s.
    for left in range(20, -1, -1):
        targets = ask("targets?state=active")["activeTargets"]
        if all(target["health"] == "up" for target in targets) or not left:
            break
        time.sleep(1)
    jobs = {target["labels"]["job"] for target in targets}  # type: ignore[index]
    assert jobs == {"alertmanager", "prometheus", "machine", "mysql", "minio"}
    assert [target["lastError"] for target in targets if target["health"] != "up"] == []
    assert [rule for group in ask("rules")["groups"] for rule in group["rules"] if rule["health"] == "err"] == []  # type: ignore[index]


def test_metrics_of_all_kinds_are_there(host: Host) -> None:
    text = fetch(host, "9491/metrics")
    for wanted in (
        'node_systemd_unit_state{name="mlflow.service",state="active"',
        'trackbox_certificate_not_after_timestamp_seconds{name="server"}',
        'trackbox_nginx_requests_total{service="mlflow",status="5xx"}',
        'trackbox_serving_behind{alias="champion",model="fraud"}',
        "node_textfile_scrape_error 0",
        'node_scrape_collector_success{collector="systemd"} 1',
    ):
        assert any(line.replace(", ", ",").startswith(wanted) for line in text.splitlines()) or wanted in text, wanted


def test_the_exporter_of_the_database_may_read_no_table(host: Host) -> None:
    grants = host.check_output("mysql --batch --skip-column-names -e \"SHOW GRANTS FOR 'monitoring-mysql'@localhost\"")
    assert grants.count("GRANT") == 1
    assert grants.startswith("GRANT USAGE ON *.*")
