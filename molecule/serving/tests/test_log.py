"""The log contains the rows of each accepted request exactly once, or the rows are counted as dropped."""

from __future__ import annotations

import json
import time
from collections import Counter

from endpoint import Endpoint, metric, until
from machine import Machine
from scoring_clients import Clients
from testinfra.host import Host

FOLDER = "/var/lib/trackbox-serving/log/fraud"
UNIT = "trackbox-serving@fraud-{}.service"
# As docs/serving.md says, a process closes its log file each minute, and a killed process loses the file that is open.
CLOSED_AFTER = 60


def logged(machine: Machine, host: Host, since: float) -> Counter[str]:
    """Wait until all logs are uploaded; return how many rows the bucket has for each request since a Unix time."""
    until(lambda: host.run(f"ls {FOLDER}/*/*.parquet").rc, 120, "a log waits")
    keys = {"AWS_ACCESS_KEY_ID": "serving", "AWS_SECRET_ACCESS_KEY": machine.secret("serving_s3_secret")}
    said = machine.run_client("client_log.py", "fraud", str(since), **keys)
    return Counter(json.loads(said.splitlines()[-1]))


def rows(endpoint: Endpoint) -> int:
    """Return the number of rows in the body that the endpoint sends."""
    return len(endpoint.body["dataframe_split"]["data"])


def test_each_accepted_request_is_in_the_log_exactly_once(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    expected, since = {version: endpoint.serve(version) for version in versions}, time.time()
    with Clients(endpoint, expected) as clients:
        for version in (*versions, *versions):
            endpoint.serve(version)
            time.sleep(2)
    # Each process closes its log file when it stops.
    host.check_output("systemctl restart 'trackbox-serving@fraud-*.service'")
    found = logged(machine, host, since)
    mine = Counter({each.request: rows(endpoint) for each in clients.answers})
    print(f"{len(mine)} requests, {sum(found.values())} rows in the log")
    assert clients.failures == []
    assert len(mine) > 100
    assert {request: found[request] for request in mine} == mine


def test_large_requests_are_in_the_log_whole_or_counted_as_dropped(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    endpoint.serve(versions[1])
    before = metric(host, versions[1], "trackbox_serving_dropped_log_rows_total"), time.time()
    many = {**endpoint.body["dataframe_split"], "data": endpoint.body["dataframe_split"]["data"][:1] * 9000}
    large = Endpoint(machine, endpoint.user, endpoint.password, {"dataframe_split": many})
    scores = large.score()[1]
    with Clients(large, {versions[1]: scores}, 8) as clients:
        time.sleep(10)
    dropped = metric(host, versions[1], "trackbox_serving_dropped_log_rows_total") - before[0]
    host.check_output(f"systemctl restart {UNIT.format(versions[1])}")
    found = logged(machine, host, before[1])
    mine = [each.request for each in clients.answers]
    kept = sum(found[request] for request in mine)
    print(f"{len(mine)} requests of 9,000 rows: {kept:,} rows in the log, {dropped:,.0f} counted as dropped")
    assert clients.failures == []
    assert {found[request] for request in mine} <= {0, 9000}
    assert kept + dropped == 9000 * len(mine)


def test_a_kill_loses_the_rows_of_the_last_minute_at_most(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    scores = endpoint.serve(versions[1])
    host.check_output(f"systemctl restart {UNIT.format(versions[1])}")
    endpoint.wait(versions[1])
    since = time.time()
    with Clients(endpoint, {versions[1]: scores}, 2) as clients:
        time.sleep(CLOSED_AFTER + 15)
        begun = time.monotonic()
        host.check_output(f"systemctl kill --signal=KILL {UNIT.format(versions[1])}")
        killed = time.monotonic()
        time.sleep(3)
        endpoint.wait(versions[1])
    host.check_output(f"systemctl restart {UNIT.format(versions[1])}")
    found = logged(machine, host, since)
    lost = [each for each in clients.answers if not found[each.request]]
    oldest = max((begun - each.ended for each in lost), default=0.0)
    print(f"{len(clients.answers)} requests; {len(lost)} are lost, answered {oldest:.0f} s before the kill at most")
    assert clients.failures == []
    assert {found[each.request] for each in clients.answers} <= {0, rows(endpoint)}
    assert all(each.ended <= killed + 2 for each in lost)
    assert oldest <= CLOSED_AFTER + 5
