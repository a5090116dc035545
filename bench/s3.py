"""S3 through NGINX's TLS, beside a MinIO that has TLS itself, on the same disk with the same binary."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from harness import Bench
from report import Reach, Result, spread

NEEDS_GB = 8
NGINX, OWN = "through NGINX", "MinIO's own TLS"
PORT = 9700
CASES = {
    "1 GB": {"size": 2**30, "count": 1, "threads": 1},
    "256 MB": {"size": 2**28, "count": 1, "threads": 1},
    "1,000 × 4 KB": {"size": 2**12, "count": 1000, "threads": 1},
    "8 × 64 MB at once": {"size": 2**26, "count": 8, "threads": 8},
}
WHY = (
    "both cores are full, and NGINX takes every byte once more from MinIO and to its client: for 1 GB up and down "
    "1.75 s of CPU in NGINX and 3.9 in MinIO, where MinIO with its own TLS takes 4.9 (systemd's accounts of the "
    "units). TLS itself costs the same in both, and this kernel has none of its own (CONFIG_TLS) that would spare "
    "NGINX the copies."
)

# The unit has what the installation's own has that costs time: the sync of names.
START = """set -e
mkdir -p -m 0700 /var/lib/bench/certs /var/lib/bench/data
cd /var/lib/bench/certs
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 -keyout private.key -out public.crt \\
  -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 2>/dev/null
systemd-run --quiet --collect --unit=bench-minio --setenv=MINIO_FS_OSYNC=on --setenv=MINIO_UPDATE=off \\
  --setenv=HOME=/var/lib/bench /opt/trackbox/minio/*/minio server --certs-dir /var/lib/bench/certs \\
  --address 127.0.0.1:{port} --console-address 127.0.0.1:{console} /var/lib/bench/data
cat public.crt
until (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.2; done
sleep 2"""


@contextmanager
def own_tls(bench: Bench) -> Iterator[dict[str, str]]:
    """A MinIO with TLS on loopback, with the root user that it has by default, and data of its own."""
    try:
        certificate = bench.ssh(
            f"bash -c '{START}'".replace("{port}", str(PORT)).replace("{console}", str(PORT + 1)), within=60
        )
        login = {"key": "minioadmin", "secret": "minioadmin"}
        yield {"url": f"https://127.0.0.1:{PORT}", "bucket": "bench", "ca": certificate, **login}
    finally:
        bench.ssh("systemctl stop bench-minio || true; rm -rf /var/lib/bench")


def measure(bench: Bench) -> Result:
    """Seconds, medians of three rounds."""
    door = bench.store(bench.machine.settings["AWS_ENDPOINT_URL_S3"]) | {"ca": bench.door()["ca"]}
    table = [
        "| what | way | through NGINX, s (rounds) | MinIO's own TLS, s (rounds) | speed |",
        "| --- | --- | --- | --- | ---: |",
    ]
    reaches = []
    with own_tls(bench) as own:
        bucket = {"make": "yes"}
        for name, case in CASES.items():
            found = bench.client({"stores": {NGINX: door, OWN: own | bucket}, "rounds": 3, **case}, "client_store.py")
            bucket = {}
            for way in ("up", "down"):
                ours, theirs = found[f"{NGINX} {way}"], found[f"{OWN} {way}"]
                speed = statistics.median(theirs) / statistics.median(ours)
                table.append(f"| {name} | {way} | {spread(ours)} | {spread(theirs)} | {speed:.2f} |")
                reaches.append(Reach(f"{name} {way}: speed, of MinIO's own TLS", speed, 1.0, at_least=True))
    return Result(reaches, "\n".join(table), why=WHY)
