"""Score rows with Triton's client for the Open Inference Protocol, and print JSON: client_triton.py BODY."""

from __future__ import annotations

import base64
import json
import os
import sys

import numpy as np
import tritonclient.http as triton

rows = json.loads(sys.argv[1])["dataframe_split"]
user, password = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
client = triton.InferenceServerClient(
    os.environ["MLFLOW_TRACKING_URI"].removeprefix("https://") + "/serving",
    ssl=True,
    ssl_options={"ca_certs": os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]},
)
assert client.is_server_live(headers=headers)
assert client.is_server_ready(headers=headers)
assert client.is_model_ready("fraud", headers=headers)
described = client.get_model_metadata("fraud", headers=headers)
inputs = []
for number, name in enumerate(rows["columns"]):
    values = np.array([row[number] for row in rows["data"]], dtype=np.float64)
    given = triton.InferInput(name, list(values.shape), "FP64")
    given.set_data_from_numpy(values, binary_data=False)
    inputs.append(given)
wanted = [triton.InferRequestedOutput(one["name"], binary_data=False) for one in described["outputs"]]
answer = client.infer("fraud", inputs, outputs=wanted, headers=headers)
print(json.dumps({"described": described, "scores": answer.as_numpy(described["outputs"][0]["name"]).tolist()}))
