"""A disk that fills: uploads leave the database its reserve; full to the last byte, reads and logins go on."""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from machine import Answer, Machine
from power_cut import Power, run
from testinfra.host import Host

API = "/api/2.0/mlflow"
SMALL = "/api/2.0/mlflow-artifacts/artifacts/faults/small.txt"
RESERVE = 0.05


class Door:
    """An admin at the front door."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.password = machine, machine.secret("admin_password")
        self.run = ""

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        return self.machine.ask(path, method=method, body=body, user="admin", password=self.password)

    def log(self) -> int:
        body = {"run_id": self.run, "key": "m", "value": 1, "timestamp": 1, "step": 1}
        return self.ask("POST", f"{API}/runs/log-metric", body).status

    def read(self) -> list[int]:
        """The statuses of a search, of a page and of an artifact."""
        search = self.ask("POST", f"{API}/runs/search", {"experiment_ids": ["0"], "max_results": 1})
        return [search.status, self.ask("GET", "/").status, self.ask("GET", SMALL).status]

    def upload(self, chunks: Iterator[bytes], length: int = 0) -> http.client.HTTPResponse:
        """Send an artifact; without a length in chunks, until the server has enough."""
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
    """The front door, with a run and an artifact behind it."""
    door = Door(machine)
    door.run = door.ask("POST", f"{API}/runs/create", {"experiment_id": "0"}).body.decode().split('"run_id": "')[1][:32]
    assert door.ask("PUT", SMALL, "small").status == 200
    return door


def free(power: Power) -> int:
    """The bytes that are free on the machine's disk."""
    return int(run("stat", "--file-system", "--format=%a", power.folder)) * 4096


def size(power: Power) -> int:
    """The bytes of the machine's disk."""
    return int(run("stat", "--file-system", "--format=%b", power.folder)) * 4096


def leave(power: Power, filler: Path, space: int) -> None:
    """Let the filler take all but so many bytes."""
    run("fallocate", f"--length={free(power) - space}", filler)


@pytest.fixture
def filler(power: Power) -> Iterator[Path]:
    """A file that takes space, and gives it back."""
    path = power.folder / "rootfs/var/tmp/filler"
    yield path
    path.unlink(missing_ok=True)


def pids(host: Host) -> str:
    """The services' processes."""
    return str(host.check_output("systemctl show --property=MainPID --value mysql minio mlflow nginx"))


def s3(machine: Machine, call: str) -> object:
    """What S3 answers to the training package."""
    keys = machine.settings["AWS_ACCESS_KEY_ID"], machine.settings["AWS_SECRET_ACCESS_KEY"]
    return machine.run_client("client_s3.py", *keys, call)


def test_an_artifact_without_a_place_is_refused_before_it_is_sent(door: Door, power: Power) -> None:
    before = free(power)
    answer = door.upload(iter(()), length=before)
    assert answer.status == 507
    assert b"has no place for artifacts" in answer.read()
    assert free(power) > before - 2**20


def test_an_upload_without_a_length_ends_at_the_reserve(door: Door, power: Power, host: Host, filler: Path) -> None:
    leave(power, filler, int(size(power) * RESERVE) + 2**30)
    before = free(power)
    with suppress(OSError):
        assert door.upload(iter(lambda: b"x" * 2**20, b"")).status == 507
    end = time.monotonic() + 30
    while free(power) < before - 2**29:
        assert time.monotonic() < end, "what was sent lies there still"
        time.sleep(0.5)
    assert door.log() == 200
    assert host.check_output("ls -A /var/lib/mlflow/tmp") == ""


def test_below_the_reserve_uploads_are_refused_and_all_else_goes_on(
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


def test_full_to_the_last_byte_reads_and_logins_go_on_and_freed_space_is_all_it_takes(
    door: Door, power: Power, host: Host, filler: Path
) -> None:
    before = pids(host)
    leave(power, filler, 2**26)
    run("sh", "-c", f"cat /dev/zero >>{filler} 2>/dev/null || true")
    assert free(power) < 2**16
    start = time.monotonic()
    assert door.read() == [200] * 3
    assert door.ask("GET", "/version").status == 200
    assert (door.log(), door.ask("PUT", SMALL, "small").status) == (507, 507)
    assert time.monotonic() - start < 10
    filler.unlink()
    time.sleep(2)
    assert (door.log(), door.ask("PUT", SMALL, "small").status, door.read()) == (200, 200, [200] * 3)
    assert pids(host) == before
