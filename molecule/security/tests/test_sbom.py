"""The software bill of materials (SBOM) is valid, reproducible, and complete."""

import json
from collections import Counter

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from machine import Machine
from testinfra.host import Host


def test_the_bill_of_materials_has_what_is_installed(machine: Machine, host: Host) -> None:
    file = machine.secrets / "sbom.cdx.json"
    texts = []
    for _ in range(2):
        machine.play(playbook="playbooks/sbom.yml")
        texts.append(file.read_text())
    assert texts[0] == texts[1]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(texts[0]) is None
    parts = json.loads(texts[0])["components"]
    kinds = Counter(part["purl"].split("/")[0] for part in parts if "purl" in part)
    assert kinds["pkg:golang"] > 200
    assert kinds["pkg:pypi"] > 150
    assert kinds["pkg:deb"] == int(
        host.check_output("dpkg-query --show --showformat='${db:Status-Status}\\n' | grep -c ^installed")
    )
    names = {part["name"] for part in parts}
    assert {"mlflow", "minio", "nginx", "mysql-server", "scikit-learn", "github.com/minio/minio"} <= names
    [minio] = [part for part in parts if part["bom-ref"] == "minio"]
    assert minio["hashes"][0]["content"] == host.check_output("sha256sum /opt/trackbox/minio/*/minio | cut -d' ' -f1")
