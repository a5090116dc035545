"""A change of variables is enough to serve a second model. Its broken versions are refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from endpoint import Endpoint, alias, tag, until
from machine import Machine
from scoring_clients import Clients
from testinfra.host import Host

MODELS = [{"name": "fraud"}, {"name": "rules", "alias": "live", "allow_code": True}, {"name": "churn"}]
BODY = {"dataframe_split": {"columns": ["a", "b"], "data": [[0.0, 1.0], [3.0, 0.0]]}}

# The kinds of broken versions, each with a part of the reason that the refusal must name.
BROKEN = {
    "signature": "The version answers 400",
    "nan": "no finite number",
    "flavour": "runs code of its own (mlflow.nonsense)",
    "bit": "cannot be read",
    "missing": "not one file in its folder",
    "no-mlmodel": "MLmodel is missing",
    "no-package": "no-such-package-of-trackbox==1.0 (installed: none), a package that could run code",
    "other-version": "cannot be installed: Because scikit-learn==0.24.1 has no usable wheels",
    "url": "scikit-learn @ https://",
    "pickle": "Only skops is safe to load",
}
# Changes one bit in the middle of a file.
ROT = """
import pathlib, sys
path = pathlib.Path(sys.argv[1])
data = bytearray(path.read_bytes())
data[len(data) // 2] ^= 1
path.write_bytes(data)
"""


def registered(machine: Machine, host: Host, *kinds: str) -> dict[str, str]:
    """Register versions of the second model; return their numbers by kind."""
    python = host.check_output("python3 -c 'import platform; print(platform.python_version())'")
    said = machine.run_client("client_versions.py", "churn", python, *kinds).splitlines()[-1]
    found: dict[str, str] = json.loads(said)
    return found


@pytest.fixture(scope="module")
def churn(machine: Machine, host: Host, endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve a second model while clients continuously request the first model. Remove the second model at the end."""
    version, scores = endpoint.score()
    with Clients(endpoint, {version: scores}) as clients:
        machine.play("--extra-vars", json.dumps({"serving_models": MODELS}))
    print(f"{len(clients.answers)} answers of fraud while a model was added, {len(clients.failures)} failures")
    assert clients.failures == []
    good = registered(machine, host, "good:1", "good:2")
    alias(machine, good["good:1"], model="churn")
    found = Endpoint(machine, "admin", machine.secret("admin_password"), BODY, "churn")
    found.wait(good["good:1"], 120)
    yield found
    machine.play()
    assert found.ask("churn/ping").status == 404
    assert endpoint.score() == (version, scores)


def test_both_models_answer_each_with_its_own_versions(endpoint: Endpoint, churn: Endpoint) -> None:
    assert endpoint.score()[1] != churn.score()[1]
    live = churn.version()
    answer = churn.ask(f"v2/models/churn/versions/{live}")
    assert json.loads(answer.body)["versions"] == [live]
    assert "churn" in churn.ask("").body.decode()


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_version_is_refused_with_its_reason(machine: Machine, host: Host, churn: Endpoint, kind: str) -> None:
    before = churn.score()
    number = registered(machine, host, kind)[kind]
    alias(machine, number, model="churn")
    until(lambda: tag(machine, number, "churn").startswith("refused: "), 120, "it is not refused")
    assert BROKEN[kind] in tag(machine, number, "churn")
    assert churn.score() == before
    status = json.loads(host.check_output("cat /var/lib/trackbox-serving/status.json"))["models"]["churn"]
    assert BROKEN[kind] in status["refused"]["reason"]


def test_a_file_that_rots_in_the_store_is_not_served(machine: Machine, host: Host, churn: Endpoint) -> None:
    before = churn.score()
    number = registered(machine, host, "good:3")["good:3"]
    # MinIO stores a small object inside its own metadata file, together with a checksum.
    newest = "find /var/lib/minio/mlflow -path '*/model.skops/*' -type f -printf '%T@ %p\\n' | sort -n | tail -1"
    path = host.check_output(newest).split(" ", 1)[1]
    host.check_output("python3 -c %s %s", ROT, path)
    alias(machine, number, model="churn")
    status = "cat /var/lib/trackbox-serving/status.json"

    def noticed() -> bool:
        model = json.loads(host.check_output(status))["models"]["churn"]
        return model["wanted"] == number and bool(model["problem"] or (model["refused"] or {}).get("version") == number)

    until(noticed, 120, "nobody noticed")
    print("a file that rots:", json.loads(host.check_output(status))["models"]["churn"])
    assert churn.score() == before
