"""The only list of the charts of the page /status/. history.py queries Prometheus for their values.

In a query, $window stands for the time over which rates and averages are computed, such as 60s.
"""

from __future__ import annotations

from dataclasses import dataclass

# The label `service` names a service behind NGINX, the label `model` a served model.
REQUESTS = "trackbox_nginx_requests_total"
SECONDS = "trackbox_nginx_request_seconds_bucket"
SCORING = '{path=~"invocations|infer"}'
SUCCESS = "trackbox_job_last_success_timestamp_seconds"
CERTIFICATE = "trackbox_certificate_not_after_timestamp_seconds"
UNITS = "mysql|mariadb|minio|mlflow|nginx|trackbox-serving-follower"


@dataclass(frozen=True)
class Line:
    """The series that one query adds to a chart.

    query: PromQL. name: the name of a series on the page; labels in braces are replaced by their values. number: the
    label whose value is drawn, for a metric that has a version as a label and is always 1.
    """

    query: str
    name: str
    number: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart.

    key: the id of the chart in the page. unit: the unit of its values: %, bytes, seconds, or a word to print after each
    number. service: the service that must be installed for this chart, if any. most: the fixed end of the value axis,
    or 0. fills: whether 100 % means that something is full; the chart then forecasts the time until that.
    """

    key: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    service: str = ""
    most: float = 0
    fills: bool = False


@dataclass(frozen=True)
class Mark:
    """Events that every chart shows as vertical lines.

    kind: restart, backup, promotion or upgrade. text: what happened; labels in braces are replaced by their values.
    change: the label whose change is an event. If it is empty, the value of the metric is the time of the event, in
    seconds.
    """

    kind: str
    query: str
    text: str
    service: str = ""
    change: str = ""


CHARTS = (
    Chart(
        "requests",
        "Requests by service",
        "per minute",
        (Line(f"60 * sum by (service) (rate({REQUESTS}[$window]))", "{service}"),),
        service="nginx",
    ),
    Chart(
        "errors",
        "Requests answered by a server error",
        "%",
        (
            Line(
                f'100 * sum by (service) (rate({REQUESTS}{{status="5xx"}}[$window]))'
                f" / (sum by (service) (rate({REQUESTS}[$window])) > 0)",
                "{service}",
            ),
        ),
        service="nginx",
    ),
    Chart(
        "latency",
        "Latency: 95 % of the requests take less",
        "seconds",
        (Line(f"histogram_quantile(0.95, sum by (service, le) (rate({SECONDS}[$window])))", "{service}"),),
        service="nginx",
    ),
    Chart(
        "cpu",
        "CPU",
        "%",
        (
            Line('100 - 100 * avg(sum by (cpu) (rate(node_cpu_seconds_total{mode=~"idle|iowait"}[$window])))', "busy"),
            Line('100 * avg(rate(node_cpu_seconds_total{mode="iowait"}[$window]))', "waits for the disk"),
            Line('100 * avg(rate(node_cpu_seconds_total{mode="steal"}[$window]))', "taken by the host"),
        ),
        most=100,
    ),
    Chart(
        "memory",
        "Memory",
        "bytes",
        (
            Line("node_memory_MemTotal_bytes - avg_over_time(node_memory_MemAvailable_bytes[$window])", "used"),
            Line("node_memory_MemTotal_bytes", "installed"),
            Line(
                "node_memory_SwapTotal_bytes - node_memory_SwapFree_bytes and node_memory_SwapTotal_bytes > 0", "swap"
            ),
        ),
    ),
    Chart(
        "disk",
        "Disk used",
        "%",
        (
            Line(
                "100 - 100 * min by (mountpoint) (node_filesystem_avail_bytes / node_filesystem_size_bytes)",
                "{mountpoint}",
            ),
        ),
        most=100,
        fills=True,
    ),
    Chart(
        "queries",
        "Queries to the database",
        "per minute",
        (Line("60 * sum(rate(mysql_global_status_queries[$window]))", "queries"),),
        service="mysql",
    ),
    Chart(
        "buckets",
        "Buckets by size",
        "bytes",
        (Line("max by (bucket) (minio_cluster_usage_buckets_total_bytes)", "{bucket}"),),
        service="minio",
    ),
    Chart(
        "jobs",
        "Hours since a job last succeeded",
        "hours",
        (
            Line(f'(time() - max by (name) ({SUCCESS}{{name!="proof"}} > 0)) / 3600', "{name}"),
            Line(f'(time() - max({SUCCESS}{{name="proof"}} > 0)) / 3600', "restore test"),
        ),
    ),
    Chart(
        "backup",
        "Data in the last backup",
        "bytes",
        (Line('max(trackbox_job_bytes{name="backup"} > 0)', "before deduplication"),),
        service="backup",
    ),
    Chart(
        "certificates",
        "Days until a certificate ends",
        "days",
        (Line(f"(max by (name) ({CERTIFICATE}) - time()) / 86400", "{name}"),),
        service="nginx",
    ),
    Chart(
        "scored",
        "Requests to served models",
        "per minute",
        (Line(f"60 * sum by (model) (rate(trackbox_serving_requests_total{SCORING}[$window]))", "{model}"),),
        service="serving",
    ),
    Chart(
        "scoring",
        "Latency of served models: 95 % of the requests take less",
        "seconds",
        (
            Line(
                "histogram_quantile(0.95, sum by (model, le)"
                f" (rate(trackbox_serving_request_seconds_bucket{SCORING}[$window])))",
                "{model}",
            ),
        ),
        service="serving",
    ),
    Chart(
        "refusals",
        "Requests that served models refused",
        "per minute",
        (Line("60 * sum by (model, reason) (rate(trackbox_serving_refused_total[$window]))", "{model}: {reason}"),),
        service="serving",
    ),
    Chart(
        "versions",
        "Served versions",
        "version",
        (Line("max by (model, version) (trackbox_serving_version)", "{model}", number="version"),),
        service="serving",
    ),
    Chart(
        "drift",
        "Features that differ from the training",
        "population stability index, if it is above 0.1",
        (Line('max by (model, feature) (trackbox_serving_drift_psi{window="last"}) > 0.1', "{model}: {feature}"),),
        service="serving",
    ),
)

MARKS = (
    Mark("restart", "max(node_boot_time_seconds)", "the machine started"),
    Mark(
        "restart",
        f'label_replace(max by (name) (node_systemd_unit_start_time_seconds{{name=~"({UNITS}).service"}}),'
        ' "unit", "$1", "name", "(.+)[.]service")',
        "{unit} started",
    ),
    Mark("backup", f'max({SUCCESS}{{name="backup"}})', "backup", service="backup"),
    Mark(
        "promotion",
        "max by (model, version) (trackbox_serving_version)",
        "version {version} of {model} served",
        service="serving",
        change="version",
    ),
    Mark(
        "upgrade",
        "max by (service, version) (trackbox_version_info)",
        "{service} became {version}",
        change="version",
    ),
    Mark(
        "upgrade", "max by (version) (mysql_version_info)", "the database became {version}", "mysql", change="version"
    ),
)
