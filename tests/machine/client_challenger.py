"""Register version ARGUMENT of `fraud` once more, let the alias `challenger` name it, and print its number."""

import sys

from mlflow import MlflowClient

client = MlflowClient()
version = client.copy_model_version(f"models:/fraud/{sys.argv[1]}", "fraud").version
client.set_registered_model_alias("fraud", "challenger", version)
print(version)
