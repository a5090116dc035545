"""Print the software of this machine as JSON, and change nothing.

It lists the packages of the system and of each Python environment, and the Go modules in MinIO's binary.
"""

import json
import subprocess
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

OPT = Path("/opt/trackbox")
# The environments of served model versions that need other packages than serving's own environment.
SERVED = Path("/var/lib/trackbox-serving-environments")


def system_packages() -> list[list[str]]:
    """Return name, version and architecture of each package of the distribution."""
    shown = "--showformat=${db:Status-Status} ${Package} ${Version} ${Architecture}\n"
    lines = subprocess.run(["dpkg-query", "--show", shown], check=True, capture_output=True, text=True).stdout
    return [line.split()[1:] for line in lines.splitlines() if line.startswith("installed ")]


def environments() -> dict[str, list[list[str]]]:
    """Return name and version of each Python package, by the path of its environment in /opt/trackbox or /var/lib."""
    found = {}
    sites = [*OPT.glob("**/lib/python3*/site-packages"), *SERVED.glob("[!.]*/lib/python3*/site-packages")]
    for site in sorted(sites):
        packages = {(one.metadata["Name"], one.version) for one in distributions(path=[str(site)])}
        folder = site.parents[2]
        place = folder.relative_to(OPT if folder.is_relative_to(OPT) else SERVED.parent)
        found[str(place)] = sorted(map(list, packages))
    return found


def go_modules(binary: Path) -> list[list[str]]:
    """Return path, version and checksum of each module in a Go binary.

    Go's compiler writes the modules into the binary as text after a marker (see Go's package debug/buildinfo). Tabs
    separate the words of a line. A line that begins with `=>` replaces the module of the line above.
    """
    data = binary.read_bytes()
    start = data.index(b"path\t", data.index(b"\xff Go buildinf:"))
    modules: list[list[str]] = []
    for line in data[start : start + 1_000_000].split(b"\n"):
        kind, *words = line.split(b"\t")
        if kind == b"dep" and len(words) >= 2:
            modules.append([word.decode() for word in words[:3]])
        elif kind == b"=>" and len(words) >= 2:
            modules[-1] = [word.decode() for word in words[:3]]
        elif kind not in (b"path", b"mod", b"build"):
            break
    return modules


def main() -> None:
    """Print the installed software as JSON."""
    [binary] = OPT.glob("minio/*/minio")
    system = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    found = {
        "system": {name: system[name].strip('"') for name in ("ID", "VERSION_ID", "VERSION_CODENAME")},
        "packages": system_packages(),
        "environments": environments(),
        "minio": {"sha256": sha256(binary.read_bytes()).hexdigest(), "modules": go_modules(binary)},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
