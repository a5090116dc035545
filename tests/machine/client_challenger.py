"""Copy a version of `fraud`, point the alias `challenger` to the copy, and print the number of the copy.

client_challenger.py VERSION
"""

import sys

from mlflow import MlflowClient

client = MlflowClient()
version = client.copy_model_version(f"models:/fraud/{sys.argv[1]}", "fraud").version
client.set_registered_model_alias("fraud", "challenger", version)
print(version)
