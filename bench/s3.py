"""Measure S3 through NGINX, which terminates TLS, against a second MinIO with its own TLS on the same disk."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from harness import Bench
from report import Result, Target, spread

NEEDS_GB = 8
NGINX, OWN = "through NGINX", "MinIO's own TLS"
PORT = 9700
CASES = {
    "1 GB": {"size": 2**30, "count": 1, "threads": 1},
    "256 MB": {"size": 2**28, "count": 1, "threads": 1},
    "1,000 × 4 KB": {"size": 2**12, "count": 1000, "threads": 1},
    "8 × 64 MB at once": {"size": 2**26, "count": 8, "threads": 8},
}
MISS_REASON = (
    "both cores are busy, and NGINX copies every byte once more. Uploading and downloading 1 GB takes 1.75 s of CPU "
    "time in NGINX and 3.9 in MinIO; MinIO with its own TLS takes 4.9 (systemd's accounting of the units). TLS itself "
    "costs the same in both. NGINX cannot avoid the copies, because this kernel has no TLS (CONFIG_TLS)."
)

# MINIO_FS_OSYNC makes MinIO slower. The installation sets it, so this second MinIO sets it too.
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
    """Start a second MinIO with its own TLS and data on loopback; yield its entry of `stores` for client_store.py."""
    try:
        certificate = bench.ssh(
            f"bash -c '{START}'".replace("{port}", str(PORT)).replace("{console}", str(PORT + 1)), within=60
        )
        login = {"key": "minioadmin", "secret": "minioadmin"}
        yield {"url": f"https://127.0.0.1:{PORT}", "bucket": "bench", "ca": certificate, **login}
    finally:
        bench.ssh("systemctl stop bench-minio || true; rm -rf /var/lib/bench")


def measure(bench: Bench) -> Result:
    """Measure how many seconds each transfer takes; results are medians of three rounds."""
    door = bench.store(bench.machine.settings["AWS_ENDPOINT_URL_S3"]) | {"ca": bench.door()["ca"]}
    table = [
        "| what | way | through NGINX, s (rounds) | MinIO's own TLS, s (rounds) | speed |",
        "| --- | --- | --- | --- | ---: |",
    ]
    targets = []
    with own_tls(bench) as own:
        bucket = {"make": "yes"}
        for name, case in CASES.items():
            found = bench.client({"stores": {NGINX: door, OWN: own | bucket}, "rounds": 3, **case}, "client_store.py")
            bucket = {}
            for way in ("up", "down"):
                ours, theirs = found[f"{NGINX} {way}"], found[f"{OWN} {way}"]
                speed = statistics.median(theirs) / statistics.median(ours)
                table.append(f"| {name} | {way} | {spread(ours)} | {spread(theirs)} | {speed:.2f} |")
                targets.append(Target(f"{name} {way}: speed, relative to MinIO's own TLS", speed, 1.0, at_least=True))
    return Result(targets, "\n".join(table), miss_reason=MISS_REASON)
