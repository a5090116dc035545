"""The promises (checks of verify.yml) about NGINX on its machine: users, settings, workers, keys and logs."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from promises import Facts, promise
from tools import family, output, show, status


@promise("nginx")
def nginx_users_exact(its: Facts) -> Iterator[str]:
    """NGINX has exactly the configured users."""
    lines = Path(its["htpasswd"]).read_text().splitlines()
    found = [line.partition(":")[0] for line in lines if line.strip()]
    yield from (f"{name} is in {its['htpasswd']}" for name in sorted(set(found) - set(its["names"])))
    yield from (f"{name} is missing in {its['htpasswd']}" for name in sorted(set(its["names"]) - set(found)))
    yield from (
        f"{name} is in {its['htpasswd']} {found.count(name)} times" for name in its["names"] if found.count(name) > 1
    )


@promise("nginx")
def nginx_hashes_strong(its: Facts) -> Iterator[str]:
    """NGINX stores passwords as bcrypt hashes."""
    for line in Path(its["htpasswd"]).read_text().splitlines():
        name, _, hashed = line.partition(":")
        kept = re.fullmatch(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", hashed)
        if name and (not kept or int(kept[1]) < its["cost"]):
            yield f"{name} has {'a cheap hash' if kept else 'something else'}"


@promise("nginx")
def nginx_tokens_in_force(its: Facts) -> Iterator[str]:
    """NGINX's list has no token that has ended."""
    for name, end in its["ends"].items():
        if end <= time.time():
            yield f"{name} ended {time.strftime('%Y-%m-%d %H:%M', time.gmtime(end))}: remove it from nginx_tokens"


def settings(shown: str) -> list[str]:
    """Return the paths of the configuration files in the output of `nginx -T`."""
    return re.findall(r"^# configuration file (.+):$", shown, re.MULTILINE)


@promise("nginx")
def nginx_settings_ours(its: Facts) -> Iterator[str]:
    """NGINX loads only Trackbox's settings and the distribution's modules."""
    for path in settings(output("nginx", "-T", "-q")):
        if path not in its["as_written"] and path != "/etc/nginx/mime.types" and "/modules-enabled/" not in path:
            yield f"{path} is read too"


@promise("nginx")
def nginx_settings_run(its: Facts) -> Iterator[str]:
    """NGINX runs with the settings and the certificate on the disk, and they are valid."""
    output("nginx", "-t", "-q")
    shown = output("nginx", "-T", "-q")
    files = settings(shown)
    files += re.findall(r"^\s*ssl_certificate(?:_key)?\s+([^$;]+);", shown, re.MULTILINE)
    tick, up = os.sysconf("SC_CLK_TCK"), float(Path("/proc/uptime").read_text().split()[0])
    [_, *workers] = family(its["unit"])
    for worker in workers:
        # In /proc/PID/stat, the 20th field after the program's name is the time of the start, in ticks since the boot.
        ticks = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[19])
        started = time.time() - (up - ticks / tick)
        for path in sorted(set(files)):
            if os.stat(path).st_mtime > started + 1:
                yield f"{path} is newer than the worker {worker}: systemctl reload nginx"


@promise("nginx")
def nginx_workers_unprivileged(its: Facts) -> Iterator[str]:
    """NGINX's worker processes run as an unprivileged user."""
    uid = output("id", "--user", its["user"]).strip()
    [_, *workers] = family(its["unit"])
    for worker in workers:
        if set(status(worker)["Uid"].split()) != {uid} or int(status(worker)["CapEff"], 16):
            yield f"the worker {worker} runs as {status(worker)['Uid'].split()[0]}"


@promise("nginx")
def nginx_key_fits(its: Facts) -> Iterator[str]:
    """NGINX's private keys match its certificates."""
    for path in dict.fromkeys(its["certificates"]):
        certificate = output("openssl", "x509", "-in", path, "-noout", "-pubkey")
        if certificate != output("openssl", "pkey", "-in", path, "-pubout"):
            yield f"the key in {path} belongs to another certificate"


@promise("nginx")
def nginx_without_authority(its: Facts) -> Iterator[str]:
    """NGINX cannot read the private key of the installation's own certificate authority."""
    for process in family(its["unit"]):
        if os.path.samefile(its["authority_key"], f"/proc/{process}/root{its['authority_key']}"):
            yield f"process {process} can open {its['authority_key']}"


@promise("nginx")
def nginx_renewal(its: Facts) -> Iterator[str]:
    """NGINX's certificates are renewed automatically."""
    found = show(its["renewal"], "ActiveState", "UnitFileState")
    if found["ActiveState"] != "active" or found["UnitFileState"] != "enabled":
        yield f"{its['renewal']} is {found['ActiveState']} and {found['UnitFileState'] or 'not installed'}"


@promise("nginx")
def nginx_log_private(its: Facts) -> Iterator[str]:
    """NGINX's logs, which contain names and addresses, are not readable by everybody."""
    for path in Path("/var/log/nginx").iterdir():
        if path.stat().st_mode & 0o007:
            yield f"{path} has mode {stat.S_IMODE(path.stat().st_mode):04o}"
