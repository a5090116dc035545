"""Delete a registered model, and register the files of one of its versions COUNT times under the same name.

client_recreate.py MODEL VERSION COUNT
"""

from __future__ import annotations

import sys

from mlflow import MlflowClient

name, version, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = MlflowClient()
kept = client.get_model_version(name, version)
client.delete_registered_model(name)
client.create_registered_model(name)
for _ in range(count):
    client.create_model_version(name, kept.source, run_id=kept.run_id, model_id=kept.source.removeprefix("models:/"))
