"""Rename a registered model with three versions, tags and aliases twice; print its data after each rename, as JSON."""

import json
import time
from typing import Any

from mlflow import MlflowClient

client = MlflowClient()
name = f"rename-{time.time_ns()}"
run = client.create_run("0").info.run_id
client.create_registered_model(name, tags={"of": "the model", "of ": "another name"})
for number in ("1", "2", "3"):
    tags = {"a": number, "b": number}
    client.create_model_version(name, f"runs:/{run}/model", run, tags=tags, await_creation_for=0)
    client.set_registered_model_alias(name, f"alias-{number}", number)
    client.set_registered_model_alias(name, f"other-{number}", number)


def read(name: str) -> dict[str, Any]:
    """Return the registry's data of the model of this name."""
    model = client.get_registered_model(name)
    versions = client.search_model_versions(f"name = '{name}'")
    return {
        "tags": model.tags,
        "aliases": model.aliases,
        "versions": {one.version: client.get_model_version(name, one.version).tags for one in versions},
    }


found = [read(name)]
for new in (f"{name} renamed", f"{name}-é "):
    client.rename_registered_model(name, new)
    name = new
    found.append(read(name))
client.delete_registered_model(name)
left = [one.name for one in client.search_registered_models("name LIKE 'rename-%'") if one.name.startswith(name[:20])]
print(json.dumps({"found": found, "left": left}))
