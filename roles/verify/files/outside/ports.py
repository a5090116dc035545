"""The promise about the ports that the network can reach."""

from __future__ import annotations

from collections.abc import Iterator

from network import open_ports
from promises import Facts, promise

# Ports that the services use or have used, and ports that are often open by mistake.
# fmt: off
WELL_KNOWN = [
    21, 23, 25, 53, 111, 139, 389, 445, 631, 873, 2049, 2375, 2376, 3000, 3306, 4317, 5000, 5001, 5432, 5555,
    5601, 6379, 6443, 8000, 8080, 8443, 8786, 8787, 8888, 9000, 9001, 9090, 9100, 9200, 10250, 11211, 19999,
    27017, 33060,
]
# fmt: on


@promise("host")
def ports_closed(its: Facts) -> Iterator[str]:
    """Only SSH's and NGINX's ports are reachable from outside."""
    tried = sorted({*WELL_KNOWN, *its["inner"]} - set(its["ports"]))
    yield from (f"port {port} is open" for port in open_ports(its["address"], tried))
