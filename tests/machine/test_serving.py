"""A moved alias takes effect in seconds without a failed request, and scoring works while other services are down."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import yaml
from endpoint import Endpoint, alias, at_socket, fraud, tag
from machine import ROOT, VIEWER, Machine
from raw_http import connect, request
from scoring_clients import Clients
from testinfra.host import Host

SCORER = {"name": "sam", "password": "the password of a scorer", "role": "scorer"}
UNITS = "trackbox-serving@fraud-{}.service"


@pytest.fixture(scope="module")
def scorer(machine: Machine, endpoint: Endpoint) -> Iterator[Endpoint]:
    """Add a scorer and a viewer by Ansible; remove them after the module."""
    admin = {"name": "admin", "password": machine.secret("admin_password"), "role": "admin"}
    machine.play("--tags=users", "--extra-vars", json.dumps({"nginx_users": [admin, SCORER, VIEWER]}))
    yield Endpoint(machine, SCORER["name"], SCORER["password"], endpoint.body)
    machine.play("--tags=users")


def test_the_champion_scores_by_curl_and_by_mlflows_own_client(
    machine: Machine, endpoint: Endpoint, versions: list[str]
) -> None:
    version, scores = endpoint.score()
    assert version == versions[1]
    assert machine.ask("/serving/fraud/ping").status == 401
    said = json.loads(machine.run_client("client_serving.py", json.dumps(endpoint.body)).splitlines()[-1])
    assert said["predictions"] == pytest.approx(scores)


def test_rows_are_counted_in_the_bins_of_the_training_for_the_follower_alone(
    host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    for version in versions:
        counts = json.loads(at_socket(host, version, "/drift"))["counts"]
        # The model has 29 features and a score. Each has 10 bins, and further bins for lower, higher and missing
        # values.
        assert [len(each) for each in counts] == [13] * 30
    assert endpoint.ask("fraud/drift").status == 404


def test_the_overview_has_a_command_that_works(host: Host, machine: Machine, endpoint: Endpoint) -> None:
    # Wait, because the follower writes the overview page some seconds after the version has changed.
    served, start = f"Version {endpoint.version()} is served.", time.monotonic()
    while served not in (page := (answer := endpoint.ask("")).body.decode()):
        assert time.monotonic() - start < 60, page
        time.sleep(1)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    [command] = re.findall(r"<pre>(curl .*?)</pre>", page, re.DOTALL)
    command = html.unescape(command).replace("--cacert ca.crt", f"--cacert {machine.secrets}/ca.crt")
    command = command.replace("--user NAME", f"--user admin:{machine.secret('admin_password')}")
    done = subprocess.run(
        ["sh", "-c", f"{command} --silent --fail"], capture_output=True, text=True, timeout=30, check=True
    )
    assert "predictions" in json.loads(done.stdout)


def test_no_request_fails_while_the_alias_moves(machine: Machine, endpoint: Endpoint, versions: list[str]) -> None:
    expected, times = {version: endpoint.serve(version) for version in versions}, []
    with Clients(endpoint, expected) as clients:
        for turn in range(10):
            moved = time.monotonic()
            alias(machine, versions[turn % 2])
            times.append(clients.first(versions[turn % 2], moved))
    assert clients.failures == []
    assert len(clients.answers) > 100
    assert sorted(times)[len(times) // 2] <= 10


def test_no_request_fails_while_processes_are_killed_and_services_restart(
    host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    live = endpoint.version()
    with Clients(endpoint, {live: endpoint.score()[1]}) as clients:
        for command in (
            f"systemctl kill --signal=KILL {UNITS.format(live)}",
            f"systemctl restart {UNITS.format(live)}",
            "systemctl restart trackbox-serving-follower",
            f"systemctl kill --signal=KILL {UNITS.format(live)}",
            "systemctl reload nginx",
        ):
            host.check_output(command)
            time.sleep(3)
            endpoint.wait(live)
    assert clients.failures == []


# A program that closes each connection when a request arrives, as a dying process does. It counts the requests in a
# file for each socket.
DYING = """
import os, socket, sys
for path in sys.argv[1:]:
    if os.fork() == 0:
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        os.chmod(path, 0o666)
        server.listen()
        while True:
            connection = server.accept()[0]
            connection.recv(65536)
            with open(path + ".count", "a") as file:
                file.write("x")
            connection.close()
os.wait()
"""


def test_a_request_that_ends_its_process_is_sent_once_more_and_to_no_other_version(
    host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    live, folder = endpoint.version(), "/run/trackbox-serving/fraud"
    host.check_output("systemctl stop trackbox-serving-follower")
    try:
        unit = "systemd-run --quiet --collect --unit=dying python3 -c"
        host.check_output(f"{unit} {shlex.quote(DYING)} {folder}/dying-1 {folder}/dying-2")
        for link, target in (("champion", "dying-1"), ("previous", "dying-2")):
            host.check_output(f"cd {folder} && ln -s {target} new && mv -T new {link}.sock")
        end = time.monotonic() + 10
        while host.run(f"ls {folder}/dying-1 {folder}/dying-2").rc:
            assert time.monotonic() < end
        answer = endpoint.ask("fraud/invocations", endpoint.body)
        assert answer.status == 503
        counted = host.check_output(f"cat {folder}/dying-1.count; ls {folder}/dying-2.count 2>&1 || true")
        assert counted.startswith("xx")
        assert "No such file" in counted
        assert not counted.startswith("xxx")
    finally:
        host.run("systemctl stop dying")
        host.check_output(f"rm -f {folder}/dying-*")
        host.check_output("systemctl start trackbox-serving-follower")
        endpoint.wait(live)


def test_a_broken_model_is_refused_and_the_old_version_serves_on(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    alias(machine, versions[1])
    endpoint.wait(versions[1])
    bad = machine.run_client("client_bad_model.py").splitlines()[-1]
    alias(machine, bad)
    end = time.monotonic() + 60
    # Wait for the overview page, too, because the follower writes it after the tag.
    while not tag(machine, bad) or "was refused" not in endpoint.ask("").body.decode():
        assert time.monotonic() < end
        time.sleep(0.5)
    assert tag(machine, bad).startswith("refused: Only skops is safe to load")
    assert endpoint.version() == versions[1]
    said = host.run("fraud rollback --wait").stdout
    assert host.run("ls /tmp/pwned").rc
    alias(machine, versions[1])
    endpoint.wait(versions[1])
    assert "pwned" not in said


def test_scoring_goes_on_without_mysql_mlflow_and_minio(machine: Machine, host: Host, endpoint: Endpoint) -> None:
    database = "mysql" if host.service("mysql").is_running else "mariadb"
    before = endpoint.score()
    stopped = f"mlflow.socket mlflow minio {database}"
    host.check_output(f"systemctl stop {stopped}")
    try:
        assert endpoint.score() == before
        host.check_output("systemctl restart trackbox-serving-follower")
        host.check_output(f"systemctl restart {UNITS.format(before[0])}")
        assert endpoint.score() == before
    finally:
        host.check_output(f"systemctl start {database} minio mlflow.socket mlflow")
        machine.wait_for_health(200, 90)


def test_a_scorer_scores_and_does_nothing_else(machine: Machine, scorer: Endpoint) -> None:
    assert scorer.score()[1]
    assert scorer.ask("").status == 200
    assert scorer.ask("fraud/metrics").status == 404
    for path in ("/", "/api/2.0/mlflow/experiments/search?max_results=1", "/minio/", "/get-artifact?path=x&run_uuid=x"):
        answer = machine.ask(path, user=scorer.user, password=scorer.password)
        assert answer.status == 403
        assert b"is a scorer here" in answer.body
    assert (
        machine.ask(
            "/api/2.0/mlflow/runs/create", method="POST", body={}, user=scorer.user, password=scorer.password
        ).status
        == 403
    )


def test_labels_reach_the_bucket_and_viewers_send_none(machine: Machine, host: Host, scorer: Endpoint) -> None:
    answer = scorer.ask("fraud/invocations", scorer.body)
    sent = [{"request_id": answer.headers["X-Request-Id"], "label": 1}]
    for path in ("fraud/feedback", "endpoints/fraud/feedback"):
        assert scorer.ask(path, sent).status == 202
    assert scorer.ask("fraud/feedback", [{"request_id": "1", "label": 1}]).status == 400
    # A viewer may score, but may not send feedback.
    viewer = Endpoint(machine, VIEWER["name"], VIEWER["password"])
    assert viewer.ask("fraud/invocations", scorer.body).status == 200
    assert viewer.ask("fraud/feedback", sent).status == 403
    end = time.monotonic() + 30
    while host.run("ls /var/lib/minio/inference/fraud/labels/date=*/*.parquet").rc:
        assert time.monotonic() < end
        time.sleep(1)


def test_a_challenger_runs_in_the_background_where_no_client_reaches_it(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    version = machine.run_client("client_challenger.py", versions[0]).split()[-1]
    unit, end = UNITS.format(version), time.monotonic() + 60
    try:
        while host.run(f"systemctl is-active {unit}").rc:
            assert time.monotonic() < end
            time.sleep(1)
        process = host.check_output(f"systemctl show --value -p MainPID {unit}")
        assert host.check_output(f"ps -o ni= {process}").strip() == "19"
        assert host.check_output(f"systemctl show --value -p CPUWeight {unit}") == "1"
        assert endpoint.ask(f"v2/models/fraud/versions/{version}").status == 404
        assert endpoint.version() != version
    finally:
        body = {"name": "fraud", "alias": "challenger"}
        login = {"user": "admin", "password": machine.secret("admin_password")}
        machine.ask("/api/2.0/mlflow/registered-models/alias", method="DELETE", body=body, **login)
    while host.run(f"systemctl is-active {unit}").rc == 0:
        assert time.monotonic() < end
        time.sleep(1)


def test_limits_answer_at_once(machine: Machine, endpoint: Endpoint) -> None:
    columns, row = endpoint.body["dataframe_split"]["columns"], endpoint.body["dataframe_split"]["data"][0]
    many = {"dataframe_split": {"columns": columns, "data": [row] * 100_001}}
    assert endpoint.ask("fraud/invocations", many).status == 413
    assert endpoint.ask("nothing/invocations", endpoint.body).status == 404
    assert endpoint.ask("fraud/invocations", {"dataframe_split": {"columns": ["V1"], "data": [[1.0]]}}).status == 400


def test_too_many_scoring_requests_at_once_are_refused_and_the_user_can_still_call_mlflow(
    machine: Machine, endpoint: Endpoint
) -> None:
    most: int = yaml.safe_load((ROOT / "roles/wiring/defaults/main.yml").read_text())["serving_requests_at_once"]
    login = base64.b64encode(f"{endpoint.user}:{endpoint.password}".encode()).decode()
    # NGINX waits for the bodies of these requests, so all of them are in flight at the same time.
    body = ("Content-Type: application/json", "Content-Length: 100")
    sent = request(machine, "POST", "/serving/fraud/invocations", f"Authorization: Basic {login}", *body)
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(machine)) for _ in range(most + 3)]
        for line in lines:
            line.sendall(sent)
        assert sorted(map(status, lines)) == [*[0] * most, 429, 429, 429]
        found = machine.ask(
            "/api/2.0/mlflow/experiments/search?max_results=1", user=endpoint.user, password=endpoint.password
        )
        assert found.status == 200


def status(line: ssl.SSLSocket) -> int:
    """Return the status of a response; 0 if there is none yet."""
    line.settimeout(0.1)
    try:
        return int(line.recv(4096).split()[1])
    except TimeoutError:
        return 0


def test_the_log_reaches_the_bucket(machine: Machine, host: Host, endpoint: Endpoint) -> None:
    endpoint.score()
    host.check_output(f"systemctl restart {UNITS.format(endpoint.version())}")
    end = time.monotonic() + 60
    while host.run("ls /var/lib/trackbox-serving/log/fraud/*/*.parquet").rc == 0:
        assert time.monotonic() < end
        time.sleep(1)
    # The S3 user `serving` may use the bucket `inference` and no other bucket.
    assert "date=" in host.check_output("ls /var/lib/minio/inference/fraud")
    asked = ("list_objects_v2 Bucket=inference", "list_objects_v2 Bucket=mlflow", "list_objects_v2 Bucket=datasets")
    said = machine.run_client("client_s3.py", "serving", machine.secret("serving_s3_secret"), *asked)
    assert json.loads(said) == ["ok", "AccessDenied", "AccessDenied"]
    # With the credentials of training, `fraud evaluate` must find the label of an earlier test and the scored row.
    found = json.loads(fraud(host, "evaluate", "--json"))
    assert sum(version["labelled"] for version in found["versions"]) >= 1


def test_the_unit_of_the_monthly_report_writes_a_run(machine: Machine, host: Host, endpoint: Endpoint) -> None:
    unit = "training-fraud-monitor"
    assert f"{unit}.timer" in host.check_output("systemctl list-timers --no-pager")
    host.check_output(f"systemctl start {unit}.service")
    said = host.check_output(f"journalctl -u {unit} -o cat --no-pager -n 40")
    assert f"Version {endpoint.version()}, " in said
    assert "drift" in said.lower()
    run = [line for line in said.splitlines() if "/runs/" in line][-1].rpartition("/")[2]
    assert b'"monitoring"' in machine.ask(
        f"/api/2.0/mlflow/runs/get?run_id={run}", user="admin", password=machine.secret("admin_password")
    ).body  # fmt: skip
    rating = host.check_output(f"systemd-analyze security --no-pager {unit} | grep -oE 'level.*: [0-9.]+'")
    assert float(rating.rsplit(maxsplit=1)[1]) <= 1.5


def test_a_version_is_confined(host: Host, endpoint: Endpoint) -> None:
    unit = UNITS.format(endpoint.version())
    rated = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -1")
    assert float(rated.split(": ")[1].split()[0]) <= 1.0
    process = host.check_output(f"systemctl show --value -p MainPID {unit}")
    inside = f"nsenter --target {process} --mount --net --"
    assert host.check_output(f"{inside} ls /run").split() == ["scratch", "systemd"]
    assert len(host.check_output(f"cat /proc/{process}/net/dev").splitlines()) == 3
    assert host.check_output(f"{inside} ls /etc/trackbox/serving") == ""
    assert host.check_output(f"{inside} ls /var/lib/trackbox-serving/models/fraud").split() == [endpoint.version()]
