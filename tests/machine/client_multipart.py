"""An unmodified MLflow client uploads and downloads a file with multipart transfers, and prints the file's size."""

import os
import tempfile
from pathlib import Path

os.environ |= {
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
    "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": "5242880",
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "5242880",
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "5242880",
}

import mlflow

mlflow.set_experiment("clients")
with tempfile.TemporaryDirectory() as folder, mlflow.start_run() as run:
    file = Path(folder, "parts.bin")
    file.write_bytes(os.urandom(6_000_000))
    mlflow.log_artifact(str(file))
    back = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path=file.name, dst_path=f"{folder}/back"
    )
    print(len(file.read_bytes()) if file.read_bytes() == Path(back).read_bytes() else "differ")
