"""On every route, NGINX transfers artifacts from and to the object store. Errors have MLflow's JSON format."""

import json
import re
import time
import uuid
from contextlib import ExitStack
from urllib.parse import quote

import pytest
from artifact_routes import FILE, NAMES, STORE, Door, door
from machine import Answer, Machine
from raw_http import connect, exchange, request
from testinfra.host import Host

__all__ = ["door"]

# Names with characters that must be encoded in a URL.
ODD = [
    "a?b&c.txt",
    "100 %.txt",
    "Größe (2).csv",
    'it\'s; "so".txt',
    "back\\slash",
    "1+1=2",
    "💾.bin",
    "[x]{y}^z~`|$!*,@:",
]
FILES = NAMES[:6]  # without the routes of traces, because attachments of traces have UUIDs as names


def is_missing(answer: Answer) -> bool:
    """Return whether a response is MLflow's JSON error for an artifact that does not exist."""
    return answer.status == 404 and json.loads(answer.body)["error_code"] == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("name", ["model.pkl", "a folder/with=some,of+them@once.txt", *ODD])
def test_a_downloaded_artifact_equals_the_uploaded_one(door: Door, name: str) -> None:
    body = name.encode() * 1000
    assert door.put("run", name, body).status == 200
    for route in ("artifacts", "ajax artifacts", "run", "old run"):
        whole, part = door.get(route, name), door.get(route, name, Range="bytes=1-5")
        assert (whole.status, whole.body) == (200, body)
        assert whole.headers["Content-Disposition"].startswith("attachment; filename=")
        assert whole.headers.get_all("X-Content-Type-Options") == ["nosniff"]
        assert "sandbox" in whole.headers["Content-Security-Policy"]
        # The body comes from the object store. NGINX must remove the headers that the store adds to its response,
        # because a response of MLflow would not have them.
        assert not [
            name
            for name in whole.headers
            if (name.startswith("X-") and "Amz" in name) or name in ("ETag", "Last-Modified")
        ]
        assert not [name for name in whole.headers if "Accel" in name or "Trackbox" in name]
        assert (part.status, part.body) == (206, body[1:6])
        assert door.get(route, name, "HEAD").headers["Content-Length"] == str(len(body))
    path = f"/api/2.0/{STORE}{door.folders['run']}/"
    assert door.ask("DELETE", path + quote(name)).status == 200
    assert is_missing(door.get("artifacts", name))


@pytest.mark.parametrize("route", NAMES)
def test_every_route_sends_an_artifact(door: Door, route: str) -> None:
    body = route.encode() * 1000
    assert door.put(route, FILE, body).status == 200
    answer = door.get(route, FILE)
    assert (answer.status, answer.body) == (200, body)
    assert door.get(route, FILE, "HEAD").status == 200


@pytest.mark.parametrize("name", ["plain.txt", "x" * 255, *ODD])
@pytest.mark.parametrize("route", FILES)
def test_a_missing_artifact_gets_404_in_mlflows_form(door: Door, route: str, name: str) -> None:
    assert is_missing(door.get(route, name))
    assert door.get(route, name, "HEAD").status == 404


@pytest.mark.parametrize("route", NAMES[-2:])
def test_a_missing_attachment_gets_404_in_mlflows_form(door: Door, route: str) -> None:
    assert is_missing(door.get(route, str(uuid.uuid4())))


def memory_and_writes(host: Host) -> tuple[int, int]:
    """Return the memory of MLflow's processes in MB, and the MB that they have written or sent since their start."""
    processes = host.check_output("systemctl show --property=ControlGroup --value mlflow")
    found = host.check_output(
        f"cd /proc; cat $(sed 's,$,/status,;p;s,status,io,' /sys/fs/cgroup{processes}/cgroup.procs)"
    )
    memory = sum(int(size) for size in re.findall(r"VmRSS:\s+(\d+) kB", found)) // 1024
    return memory, sum(int(size) for size in re.findall(r"wchar: (\d+)", found)) // 2**20


def test_a_folder_is_no_artifact_and_is_not_fetched(door: Door, host: Host) -> None:
    assert door.put("run", "folder/below/large.bin", bytes(32 * 2**20)).status == 200
    _, before = memory_and_writes(host)
    for route in FILES:
        for name in ("folder/", "folder", "folder/below/", "folder/below/large.bin/"):
            assert is_missing(door.get(route, name)), (route, name)
    for path in (f"/api/2.0/{STORE}", f"/ajax-api/2.0/{STORE}"):
        assert is_missing(door.ask("GET", path))
    assert memory_and_writes(host)[1] - before < 8


@pytest.mark.parametrize("route", NAMES)
def test_a_slow_reader_takes_no_memory_in_mlflow(door: Door, host: Host, machine: Machine, route: str) -> None:
    size = 48
    assert door.put(route, FILE, bytes(size * 2**20)).status == 200
    assert door.get(route, FILE).status == 200
    before = memory_and_writes(host)
    with ExitStack() as stack:
        for _ in range(3):
            line = stack.enter_context(connect(machine))
            line.sendall(request(machine, "GET", door.routes[route] + FILE, f"Authorization: {door.login}"))
            assert line.recv(12) == b"HTTP/1.1 200"
        time.sleep(2)
        memory, written = (now - then for now, then in zip(memory_and_writes(host), before, strict=True))
        assert memory < size / 2
        assert written < size / 2


@pytest.mark.parametrize("route", NAMES)
def test_a_range_past_the_end_is_refused_in_mlflows_form(door: Door, route: str) -> None:
    assert door.put(route, FILE, b"abc").status == 200
    answer = door.get(route, FILE, Range="bytes=3-")
    assert (answer.status, answer.headers["Content-Type"]) == (416, "application/json")
    assert json.loads(answer.body)["error_code"] == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("name", ["x" * 256, "ä" * 200, "x" * 200 + "/" + "/".join(["y" * 200] * 5)])
def test_a_name_that_the_store_refuses_is_refused_in_mlflows_form(door: Door, name: str) -> None:
    answer = door.put("run", name, b"x")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")
    assert json.loads(answer.body)["error_code"] == "BAD_REQUEST"


API = "/api/2.0/mlflow/experiments/search?max_results=1"


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        (f"TRACE {API}", [], 405),
        ("GET /api/2.0/mlflow/%zz", [], 400),
        ("GET", [], 400),
        (f"GET {API}&filter={'x' * 9000}", [], 414),
        (f"GET {API}", ["X-Long: " + "x" * 40000], 400),
        (f"GET {API}", ["Content-Length: x"], 400),
        (f"GET {API}", ["Authorization: Basic Og=="], 401),
        ("GET /api/3.0/mlflow/assistant/config", [], 403),
        ("POST /api/2.0/mlflow-artifacts/mpu/create/0", ["Content-Length: 0"], 501),
        ("GET /ajax-api/2.0/mlflow-artifacts/presigned/0/x", [], 501),
    ],
)
def test_nginx_refuses_in_mlflows_form(
    door: Door, machine: Machine, line: str, headers: list[str], status: int
) -> None:
    login = [] if any("Authorization" in header for header in headers) else [f"Authorization: {door.login}"]
    lines = [
        f"{line} HTTP/1.1" if " " in line else line,
        f"Host: {machine.address}",
        "Connection: close",
        *login,
        *headers,
    ]
    [reply] = exchange(machine, "\r\n".join([*lines, "", ""]).encode())
    assert (reply.status, b"Content-Type: application/json" in reply.head) == (status, True), reply
    assert json.loads(reply.body).keys() == {"error_code", "message"}
    assert (status == 401) == (b"WWW-Authenticate: Basic" in reply.head)


def test_a_client_configured_for_multipart_uploads_without_parts(machine: Machine) -> None:
    assert "6000000" in machine.run_client("client_multipart.py").splitlines()


@pytest.mark.parametrize("length", [True, False])
def test_an_upload_that_pauses_arrives(door: Door, machine: Machine, length: bool) -> None:
    half = b"x" * 2**20
    path = f"/api/2.0/{STORE}{door.folders['run']}/pause-{length}"
    lines = [f"PUT {path} HTTP/1.1", f"Host: {machine.address}", f"Authorization: {door.login}", "Connection: close"]
    lines += ["Content-Length: 2097152" if length else "Transfer-Encoding: chunked", "", ""]
    parts = [half, half] if length else [b"100000\r\n" + half + b"\r\n"] * 2 + [b"0\r\n\r\n"]
    with connect(machine) as line:
        line.sendall("\r\n".join(lines).encode() + parts[0])
        # Wait longer than MinIO's default timeout of 30 s.
        line.settimeout(36)
        with pytest.raises(TimeoutError):
            line.recv(1000)
        line.sendall(b"".join(parts[1:]))
        line.settimeout(30)
        assert line.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert door.get("artifacts", f"pause-{length}").body == 2 * half


def seconds(text: str) -> int:
    """Return the seconds of a duration such as `30s`, `5m` or `1h`, the notation of NGINX, systemd and MinIO."""
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def test_each_part_waits_longer_than_the_one_before_it(host: Host) -> None:
    """Check that the timeouts on the machine have the order of docs/reliability.md."""
    settings = host.check_output("nginx -T 2>/dev/null")
    nginx = dict(re.findall(r"(?m)^    (\w+_timeout) (\w+);", settings))
    client = {seconds(nginx[name]) for name in ("client_header_timeout", "client_body_timeout", "send_timeout")}
    # Include 60 s, NGINX's default keepalive_timeout for connections to the servers behind it.
    kept = max(60, *(seconds(value) for value in re.findall(r"\skeepalive_timeout (\w+);", settings)), 0)
    minio = host.check_output("systemctl show --property=Environment --value minio")
    minio_waits = seconds(re.findall(r"MINIO_IDLE_TIMEOUT=(\w+)", minio)[0])
    program = host.check_output("systemctl show --property=WorkingDirectory --value mlflow") + "/trackbox_mlflow"
    server, signing = (host.check_output(f"cat {program}/{name}.py") for name in ("server", "signing"))
    mlflow_keeps = int(re.findall(r"timeout_keep_alive=(\d+)", server)[0])
    patience = int(host.check_output("systemctl cat mlflow-away | grep -oE '/run/mlflow/ready [0-9]+'").split()[1])
    signed = int(re.findall(r"(?m)^LIFE = (\d+)", signing)[0])
    read = seconds(nginx["proxy_read_timeout"])
    # NGINX must disconnect an idle client before the server behind NGINX closes its own connection.
    assert max(client) < min(minio_waits, read)
    # NGINX must close an idle kept-alive connection before the server does, or a request could be lost.
    assert kept < mlflow_keeps
    assert kept < minio_waits
    # MLflow's socket must refuse a waiting request before NGINX's timeout and the expiry of the request's presigned
    # URL.
    assert patience < min(read, signed)


def test_a_clients_headers_do_not_reach_the_store(door: Door) -> None:
    door.put("run", "secret.txt", b"another's")
    copied = {
        "x_amz_copy_source": f"/mlflow/{door.folders['run']}/secret.txt",
        "x_amz_tagging": "a=b",
        "x_amz_acl": "public-read",
    }
    assert door.ask("PUT", f"/api/2.0/{STORE}{door.folders['run']}/copy.txt", b"mine", **copied).status == 200
    assert door.get("run", "copy.txt").body == b"mine"


@pytest.mark.parametrize(
    "path", ["/-/artifact", "/-/artifact/test-artifacts/x", "/-/artifact/", "/-/mlflow", "/-//artifact/x"]
)
def test_nginx_internal_locations_are_not_public(machine: Machine, path: str) -> None:
    said = machine.ask(path, user="admin", password=machine.secret("admin_password"))
    assert said.status == 404
    assert "X-Trackbox-Address" not in said.headers


def test_only_nginx_can_open_the_workers_sockets(host: Host) -> None:
    sockets = host.check_output("ls /run/trackbox-mlflow-*.sock").split()
    assert len(sockets) >= 2
    for path in sockets:
        socket = host.file(path)
        assert (socket.user, socket.group, socket.mode) == ("mlflow", "www-data", 0o660)
    knock = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    done = host.run(f'runuser -u nobody -- python3 -c "{knock}" {sockets[0]}')
    assert "PermissionError" in done.stderr
