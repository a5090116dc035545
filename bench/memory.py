"""What all services take at rest, by PSS: a page that several share counts once."""

from __future__ import annotations

import time

from harness import Bench
from report import Reach, Result

UNITS = ("mysql", "mariadb", "minio", "minio-watermark", "mlflow", "mlflow-away", "nginx")
# The processes of a unit, each with its PSS in kB.
ASK = """for unit in {units}; do
  group=$(systemctl show --property=ControlGroup --value $unit); [ "$group" ] || continue
  for folder in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [ -e "$folder$group/cgroup.procs" ] && break
  done
  cat $(sed 's|.*|/proc/&/smaps_rollup|' "$folder$group/cgroup.procs") |
    awk -v unit=$unit '/^Pss:/ {s += $2; n++} END {print unit, n, s}'
done"""


def measure(bench: Bench) -> Result:
    """MB of PSS, by unit, a while after a restart and a few requests."""
    bench.ssh(f"systemctl restart mlflow minio nginx {bench.database}")
    bench.machine.wait_for_health(200, 60)
    time.sleep(20)
    rows = [line.split() for line in bench.ssh(ASK.replace("{units}", " ".join(UNITS))).splitlines()]
    total = sum(int(kilobytes) for _, _, kilobytes in rows) / 2**20
    table = ["| service | processes | PSS, MB |", "| --- | ---: | ---: |"]
    table += [f"| {unit} | {count} | {int(kilobytes) / 1024:.0f} |" for unit, count, kilobytes in rows]
    return Result([Reach("PSS of all services at rest", total, 0.9, "GB")], "\n".join(table))
