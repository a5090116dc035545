"""Uploads are refused before they use the database's reserve of disk space. On a full disk, reads and logins work."""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from full_disk import fill, free, leave, size
from machine import Answer, Machine
from power_cut import Power
from testinfra.host import Host

API = "/api/2.0/mlflow"
SMALL = "/api/2.0/mlflow-artifacts/artifacts/faults/small.txt"
RESERVE = 0.05


class Door:
    """Sends the admin's requests to NGINX."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.password = machine, machine.secret("admin_password")
        self.run = ""

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        return self.machine.ask(path, method=method, body=body, user="admin", password=self.password)

    def log(self) -> int:
        body = {"run_id": self.run, "key": "m", "value": 1, "timestamp": 1, "step": 1}
        return self.ask("POST", f"{API}/runs/log-metric", body).status

    def read(self) -> list[int]:
        """Return the HTTP statuses of a search, a page and an artifact."""
        search = self.ask("POST", f"{API}/runs/search", {"experiment_ids": ["0"], "max_results": 1})
        return [search.status, self.ask("GET", "/").status, self.ask("GET", SMALL).status]

    def upload(self, chunks: Iterator[bytes], length: int = 0) -> http.client.HTTPResponse:
        """Upload an artifact until the server closes the connection. Without `length`, use chunked encoding."""
        trust = ssl.create_default_context(cafile=str(self.machine.secrets / "ca.crt"))
        line = http.client.HTTPSConnection(self.machine.address, context=trust, timeout=60)
        login = base64.b64encode(f"admin:{self.password}".encode()).decode()
        line.putrequest("PUT", SMALL.replace("small", "large"))
        line.putheader("Authorization", f"Basic {login}")
        line.putheader(*(("Content-Length", str(length)) if length else ("Transfer-Encoding", "chunked")))
        line.endheaders()
        with suppress(OSError):
            for chunk in chunks:
                line.send(chunk if length else b"%x\r\n%s\r\n" % (len(chunk), chunk))
        return line.getresponse()


@pytest.fixture
def door(machine: Machine) -> Door:
    """Create a run and an artifact; return an object that sends requests to NGINX."""
    door = Door(machine)
    door.run = door.ask("POST", f"{API}/runs/create", {"experiment_id": "0"}).body.decode().split('"run_id": "')[1][:32]
    assert door.ask("PUT", SMALL, "small").status == 200
    return door


def pids(host: Host) -> str:
    """Return the process ids of the services."""
    return str(host.check_output("systemctl show --property=MainPID --value mysql minio mlflow nginx"))


def s3(machine: Machine, call: str) -> object:
    """Return the result of an S3 call of the training user."""
    keys = machine.settings["AWS_ACCESS_KEY_ID"], machine.settings["AWS_SECRET_ACCESS_KEY"]
    return machine.run_client("client_s3.py", *keys, call)


def test_an_artifact_that_does_not_fit_is_refused_before_it_is_sent(door: Door, power: Power) -> None:
    before = free(power)
    answer = door.upload(iter(()), length=before)
    assert answer.status == 507
    assert b"has too little free space for artifacts" in answer.read()
    assert free(power) > before - 2**20


def test_an_upload_without_a_length_is_refused_at_the_reserve(
    door: Door, power: Power, host: Host, filler: Path
) -> None:
    leave(power, filler, int(size(power) * RESERVE) + 2**30)
    before = free(power)
    with suppress(OSError):
        assert door.upload(iter(lambda: b"x" * 2**20, b"")).status == 507
    end = time.monotonic() + 30
    while free(power) < before - 2**29:
        assert time.monotonic() < end, "the refused upload was not deleted"
        time.sleep(0.5)
    assert door.log() == 200
    assert host.check_output("ls -A /var/lib/mlflow/tmp") == ""


def test_below_the_reserve_only_uploads_are_refused(
    machine: Machine, door: Door, power: Power, host: Host, filler: Path
) -> None:
    before = pids(host)
    leave(power, filler, int(size(power) * RESERVE * 0.7))
    time.sleep(2)
    refused = door.ask("PUT", SMALL, "small")
    assert (refused.status, b"above the database's reserve" in refused.body) == (507, True)
    assert "XMinioStorageFull" in str(s3(machine, "put_object Bucket=datasets Key=faults Body=x"))
    assert (door.read(), door.log()) == ([200] * 3, 200)
    assert "ok" in str(s3(machine, "list_objects_v2 Bucket=datasets"))
    filler.unlink()
    time.sleep(2)
    assert door.ask("PUT", SMALL, "small").status == 200
    assert "ok" in str(s3(machine, "put_object Bucket=datasets Key=faults Body=x"))
    assert pids(host) == before


def test_with_a_full_disk_reads_and_logins_work_and_freed_space_repairs_the_rest(
    door: Door, power: Power, host: Host, filler: Path
) -> None:
    before = pids(host)
    fill(power, filler)
    start = time.monotonic()
    assert door.read() == [200] * 3
    assert door.ask("GET", "/version").status == 200
    assert (door.log(), door.ask("PUT", SMALL, "small").status) == (507, 507)
    assert time.monotonic() - start < 10
    filler.unlink()
    time.sleep(2)
    assert (door.log(), door.ask("PUT", SMALL, "small").status, door.read()) == (200, 200, [200] * 3)
    assert pids(host) == before
