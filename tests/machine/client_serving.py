"""Send a body (JSON, the first argument) to a served model with MLflow's deployment client; print the response."""

import json
import os
import sys

from mlflow.deployments import get_deploy_client

client = get_deploy_client(f"{os.environ['MLFLOW_TRACKING_URI']}/serving")
print(json.dumps(client.predict(endpoint="fraud", inputs=json.loads(sys.argv[1]))))
