"""trackbox_monitoring writes metrics of jobs, certificates and NGINX, and a status that lists current problems."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from chart_server import listening
from trackbox_host.status import Status, timestamp
from trackbox_monitoring import alerts, page
from trackbox_monitoring.__main__ import Monitor
from trackbox_monitoring.alerts import Problem
from trackbox_monitoring.exposition import Family, Histogram, rendered
from trackbox_monitoring.jobs import certificate_metrics, job_metrics, limit_metrics
from trackbox_monitoring.nginx_log import NginxLog
from trackbox_monitoring.versions import version_metrics

LINE = (
    '{{"time":"t","source":"192.0.2.1","user":"ada","method":"GET","path":"{path}","status":{status},"bytes":1,'
    '"seconds":0.1,"agent":"\\"status\\":599,","id":"x"}}\n'
)
S3 = '{"time":"t","s3_user":"mlflow","method":"GET","path":"/mlflow/serving","status":503,"bytes":1}\n'


def alert(name: str, severity: str, state: str = "firing") -> dict[str, Any]:
    """Return an alert in the format of /api/v1/rules of Prometheus 2.42 and 2.53."""
    return {
        "labels": {"alertname": name, "severity": severity},
        "annotations": {"summary": f"{name} is so.", "action": f"Type `mend {name}`."},
        "state": state,
        "activeAt": "2026-11-30T04:10:15.123456789Z",
        "value": "1e+00",
    }


def answer(*found: dict[str, Any], health: str = "ok", last: str = "") -> dict[str, Any]:
    """Return Prometheus' response to /api/v1/rules that contains these alerts."""
    rules = [
        {"name": each["labels"]["alertname"], "health": health, "alerts": [each], "type": "alerting"} for each in found
    ]
    group = {"name": "g", "rules": rules, "lastEvaluation": last or f"{timestamp(time.time())[:19]}.123456789Z"}
    return {"status": "success", "data": {"groups": [group]}}


@contextmanager
def prometheus(body: bytes, status: int = 200) -> Iterator[str]:
    """Run a fake Prometheus that answers every request with this body; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with listening(Handler) as address:
        yield address


def test_a_label_may_have_any_character() -> None:
    family = Family("a", "gauge", "What it is")
    family.add(1780000000.0, name='a "b" \\ \n c')
    assert rendered([family, Family("empty", "gauge", "Nothing")]) == (
        '# HELP a What it is\n# TYPE a gauge\na{name="a \\"b\\" \\\\ \\n c"} 1780000000.0\n'
    )


def test_jobs_say_when_they_last_succeeded(tmp_path: Path) -> None:
    for name, errors in {"backup": ["", "The disk is full."], "garbage": [""], "new": ["failed"]}.items():
        (tmp_path / name).mkdir()
        for error in errors:
            Status(tmp_path / name, name, {}).record(error, bytes=7)
    # The folder of backups has the status of restore tests, too.
    Status(tmp_path / "backup", "proof", {}, "proof.json").record("", bytes=8)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/last.json").write_text('{"last_success_unix": 1')
    text = rendered(job_metrics(tmp_path, ["backup"]))
    assert 'trackbox_job_failed{name="backup"} 1\n' in text
    assert 'trackbox_job_failed{name="garbage"} 0\n' in text
    assert 'trackbox_job_last_success_timestamp_seconds{name="new"} 0.0\n' in text
    [line] = [
        line for line in text.splitlines() if line.startswith('trackbox_job_last_success_timestamp_seconds{name="b')
    ]
    assert abs(float(line.split()[-1]) - time.time()) < 10
    assert 'trackbox_job_expected{name="backup"} 1\n' in text
    assert 'trackbox_job_bytes{name="garbage"} 7\n' in text
    assert 'trackbox_job_failed{name="proof"} 0\n' in text
    assert 'trackbox_job_bytes{name="proof"} 8\n' in text
    assert "torn" not in text


def test_a_job_with_a_limit_says_since_when_it_is_planned(tmp_path: Path) -> None:
    limits = {"proof": {"timer": "/etc/proof.timer", "days": 93}}
    text = rendered(limit_metrics(tmp_path, limits))
    assert text.splitlines()[2:] == ['trackbox_job_limit_seconds{name="proof"} 8035200']
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/proof.timer").touch()
    os.utime(tmp_path / "etc/proof.timer", (1780000000, 1780000000))
    text = rendered(limit_metrics(tmp_path, limits))
    assert 'trackbox_job_planned_timestamp_seconds{name="proof"} 1780000000\n' in text


def test_a_service_with_several_versions_says_which_is_current(tmp_path: Path) -> None:
    for name, version in {"mlflow": "3.17.2-0123abcd", "plain": "7"}.items():
        (tmp_path / name / version).mkdir(parents=True)
        (tmp_path / name / "current").symlink_to(version)
    (tmp_path / "other/current").mkdir(parents=True)
    text = rendered(version_metrics(tmp_path))
    assert text.splitlines()[2:] == [
        'trackbox_version_info{service="mlflow",version="3.17.2"} 1',
        'trackbox_version_info{service="plain",version="7"} 1',
    ]


def test_a_histogram_counts_values_up_to_each_bound() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    family = Family("a", "histogram", "What it is")
    family.add_histogram(histogram, service="x")
    assert rendered([family]).splitlines()[2:] == [
        'a_bucket{service="x",le="0.1"} 2',
        'a_bucket{service="x",le="1.0"} 3',
        'a_bucket{service="x",le="+Inf"} 4',
        'a_sum{service="x"} 7.65',
        'a_count{service="x"} 4',
    ]


def test_certificates_say_when_they_end(tmp_path: Path) -> None:
    path = tmp_path / "certificates"
    assert certificate_metrics(path) == []
    path.write_text("server 1700000000 1734000000\nacme 1 2\n")
    text = rendered(certificate_metrics(path))
    assert 'trackbox_certificate_not_before_timestamp_seconds{name="server"} 1700000000\n' in text
    assert 'trackbox_certificate_not_after_timestamp_seconds{name="acme"} 2\n' in text
    path.write_text("server 1700000000\n")
    assert certificate_metrics(path) == []


def test_the_log_is_counted_from_its_end_on_and_through_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(LINE.format(path="/old", status=500))
    log = NginxLog(path)
    with path.open("a") as file:
        file.write(
            LINE.format(path="/api/2.0/x", status=200) + S3 + LINE.format(path="/serving/a/invocations", status=503)
        )
        file.write(LINE.format(path="/minio/login", status=404)[:60])
    log.count()
    assert log.counts == {("mlflow", "2xx"): 1, ("s3", "5xx"): 1, ("serving", "5xx"): 1}
    with path.open("a") as file:
        file.write(LINE.format(path="/minio/login", status=404)[60:])
    path.rename(tmp_path / "access.log.1")
    with (tmp_path / "access.log.1").open("a") as file:
        file.write(LINE.format(path="/status/", status=200))
    path.write_text(LINE.format(path="/new", status=502))
    log.count()
    log.count()
    assert log.counts["console", "4xx"] == log.counts["status", "2xx"] == log.counts["mlflow", "5xx"] == 1
    # Truncate the log file, as an administrator might do.
    path.write_text("")
    log.count()
    with path.open("a") as file:
        file.write(LINE.format(path="/again", status=502))
    log.count()
    assert log.counts["mlflow", "5xx"] == 2
    told = rendered(log.metrics())
    assert 'trackbox_nginx_requests_total{service="console",status="5xx"} 0\n' in told
    # Each request of LINE took 0.1 s. The line S3 contains no duration.
    assert 'trackbox_nginx_request_seconds_bucket{service="mlflow",le="0.1"} 3\n' in told
    assert 'trackbox_nginx_request_seconds_bucket{service="mlflow",le="0.05"} 0\n' in told
    assert 'trackbox_nginx_request_seconds_count{service="s3"} 0\n' in told


def test_a_log_that_cannot_be_read_is_named_and_tried_again(tmp_path: Path) -> None:
    log = NginxLog(tmp_path / "access.log")
    assert log.problem == f"{tmp_path}/access.log cannot be read: No such file or directory"
    (tmp_path / "access.log").write_text(LINE.format(path="/", status=200))
    log.count()
    assert (log.problem, log.counts["mlflow", "2xx"]) == ("", 1)


def test_alerts_that_fire_are_problems_the_worst_first() -> None:
    found = answer(alert("Aa", "warning"), alert("Zz", "critical"), alert("Pp", "critical", "pending"))
    problems = alerts.sorted_problems(alerts.read(found, 15))
    assert [each.name for each in problems] == ["Zz", "Aa"]
    assert problems[0] == Problem("Zz", "critical", "Zz is so.", "Type `mend Zz`.", "2026-11-30T04:10:15Z")


@pytest.mark.parametrize(
    ("rules", "settings", "said"),
    [
        ([alert("Aa", "warning", "inactive")], {"health": "err"}, "The alert rule Aa cannot be evaluated."),
        (
            [],
            {"last": "2026-11-29T10:00:00.123456789+01:00"},
            "Prometheus has not evaluated its rules since 2026-11-29T10:00:00.",
        ),
    ],
)
def test_alerting_itself_is_watched(rules: list[dict[str, Any]], settings: dict[str, str], said: str) -> None:
    [problem] = alerts.read(answer(*rules, **settings), 15)
    assert problem.summary == f"{said} No alert can be raised."


def test_prometheus_without_rules_is_a_problem() -> None:
    [problem] = alerts.read({"status": "success", "data": {"groups": []}}, 15)
    assert problem.summary == "Prometheus has no alert rules. No alert can be raised."


def test_prometheus_that_has_just_started_is_no_problem() -> None:
    assert alerts.read(answer(last="0001-01-01T00:00:00Z"), 15) == []


def test_an_offset_counts() -> None:
    hour = time.strftime("%Y-%m-%dT%H:%M:%S.123456789+01:00", time.gmtime(time.time() + 3600))
    assert abs(alerts.age(hour)) < 5


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [(b"no JSON", 200, "Expecting value"), (b"", 503, "it answers 503"), (b"{}", 200, "'data'")],
)
def test_a_prometheus_that_answers_wrongly_is_a_problem(body: bytes, status: int, why: str) -> None:
    with prometheus(body, status) as address:
        [problem] = alerts.problems(address, 15)
    assert problem.name == "MonitoringDown"
    assert problem.summary.startswith(f"Prometheus does not answer at {address}: {why}")


def test_the_status_says_what_is_wrong_and_what_to_do() -> None:
    assert page.lines([]) == "All is well.\n"
    two = [
        Problem("A", "critical", "It is <so>.", "Type `x < y`.", "2026-11-30T04:10:15Z"),
        Problem("B", "warning", "B.", ""),
    ]
    assert page.lines(two) == (
        "2 things are wrong.\n- It is <so>. (since 2026-11-30 04:10:15 UTC)\n  Type `x < y`.\n- B.\n"
    )
    html = page.page(two, "2026-11-30T05:00:00Z")
    assert '<div role="status"><h1 class="bad">2 things are wrong.</h1></div>' in html
    assert "It is &lt;so&gt;." in html
    assert "<code>x &lt; y</code>" in html
    assert html.count("<script") == html.count('<script src="/status/')
    assert '<noscript><meta http-equiv="refresh"' in html
    assert '<h1 class="good">All is well.</h1>' in page.page([], "2026-11-30T05:00:00Z")
    assert page.headline(two[:1]) == "1 thing is wrong."


def test_a_round_writes_metrics_and_status(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"run": str(tmp_path / "out"), "textfiles": str(tmp_path / "text"), "interval": 15}
    settings |= {"expected_jobs": ["backup"], "job_limits": {}, "services": ["nginx", "serving"]}
    for folder in ("out", "text", "run/trackbox-serving", "var/log/nginx", "var/lib/trackbox"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/log/nginx/access.log").touch()
    serving = tmp_path / "run/trackbox-serving/metrics.prom"
    serving.write_text("a 1\n")
    with prometheus(json.dumps(answer(alert("Aa", "critical"))).encode()) as address:
        monitor = Monitor(settings | {"prometheus": address}, tmp_path)
        assert monitor.round()
        assert json.loads((tmp_path / "out/status.json").read_text())["headline"] == "1 thing is wrong."
        assert (tmp_path / "out/status.txt").read_text().startswith("1 thing is wrong.\n- Aa is so.")
        assert "Aa is so." in (tmp_path / "out/page/index.html").read_text()
        assert (tmp_path / "out/page/style.css").exists()
        assert (tmp_path / "text/serving.prom").read_text() == "a 1\n"
        assert "trackbox_job_expected" in (tmp_path / "text/trackbox.prom").read_text()
        # If the follower has stopped, its metrics are outdated and must be removed.
        os.utime(serving, (1, 1))
        assert monitor.round()
        assert not (tmp_path / "text/serving.prom").exists()
        # If one part fails, the other parts are still written. round() returns False, so that systemd's watchdog gets
        # no notification.
        (tmp_path / "text").rename(tmp_path / "gone")
        (tmp_path / "out/status.txt").unlink()
        assert not monitor.round()
        assert (tmp_path / "out/status.txt").exists()
