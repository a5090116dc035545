"""Score rows with KServe's client for the Open Inference Protocol, and print JSON: client_kserve.py BODY."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

rows = json.loads(sys.argv[1])["dataframe_split"]
user, password = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
url = os.environ["MLFLOW_TRACKING_URI"] + "/serving"


async def score() -> dict[str, Any]:
    """Return the server's response: whether the model is ready, and the scores."""
    trust = ssl.create_default_context(cafile=os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"])
    client = InferenceRESTClient(RESTConfig(protocol="v2", verify=trust))
    ready = await client.is_model_ready(url, "fraud", headers=headers)
    inputs = []
    for number, name in enumerate(rows["columns"]):
        values = np.array([row[number] for row in rows["data"]], dtype=np.float64)
        inputs.append(InferInput(name, list(values.shape), "FP64", values.tolist()))
    answer = await client.infer(url, InferRequest("fraud", inputs), model_name="fraud", headers=headers)
    return {"ready": ready, "scores": answer.outputs[0].as_numpy().tolist()}


print(json.dumps(asyncio.run(score())))
