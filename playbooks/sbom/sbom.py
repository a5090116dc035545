"""Write the software bill of materials of a machine as CycloneDX 1.6. Standard input is the output of installed.py.

    sbom.py NAME FILE

The file contains no time and no random number, so two runs on an unchanged machine write identical files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


def component(kind: str, name: str, version: str, place: str, **purl: Any) -> Component:
    """Return a package as a CycloneDX component. kind: the type of its package URL. place: where it is installed."""
    namespace, _, short = name.rpartition("/")
    url = PackageURL(kind, purl.pop("namespace", namespace) or None, short, version, purl or None)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=f"{place}:{url}",
        properties=[Property(name="trackbox:place", value=place)],
    )


def components(found: dict[str, Any]) -> Iterator[Component]:
    """Yield a CycloneDX component for every package that installed.py found, and for MinIO."""
    system = found["system"]
    for name, version, architecture in found["packages"]:
        distro = f"{system['ID']}-{system['VERSION_ID']}"
        yield component("deb", name, version, "system", namespace=system["ID"], arch=architecture, distro=distro)
    for place, packages in found["environments"].items():
        for name, version in packages:
            yield component("pypi", name.lower().replace("_", "-"), version, place)
    minio = Component(
        name="minio",
        version=found["minio"]["sha256"][:12],
        type=ComponentType.APPLICATION,
        bom_ref="minio",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=found["minio"]["sha256"])],
    )
    yield minio
    for path, version, *_ in found["minio"]["modules"]:
        yield component("golang", path, version, "minio")


def bill(found: dict[str, Any], name: str) -> str:
    """Return the bill of materials as JSON. name: the machine's name."""
    machine = Component(name=f"trackbox on {name}", type=ComponentType.PLATFORM, bom_ref="machine")
    parts = sorted(components(found), key=lambda part: str(part.bom_ref))
    bom = Bom(components=parts, metadata=BomMetaData(component=machine))
    bom.register_dependency(machine, parts)
    bom.serial_number = uuid5(NAMESPACE_URL, json.dumps(found, sort_keys=True))
    text = json.loads(JsonV1Dot6(bom).output_as_string())
    del text["metadata"]["timestamp"]
    return json.dumps(text, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write the bill of materials atomically: first to FILE.part, which is then renamed."""
    name, path = sys.argv[1:]
    part = Path(f"{path}.part")
    part.write_text(bill(json.load(sys.stdin), name))
    part.rename(path)


if __name__ == "__main__":
    main()
