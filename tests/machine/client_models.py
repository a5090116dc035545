"""Load models and score random rows of a fixed seed. Print the scores of each model as JSON.

client_models.py MODEL...      a model: its id in MLflow, m-…
"""

import json
import sys

import mlflow
import numpy as np
import pandas as pd

random = np.random.default_rng(0)
rows = pd.DataFrame(random.normal(size=(200, 28)), columns=[f"V{i}" for i in range(1, 29)])
rows.insert(0, "Time", random.integers(0, 172_800, len(rows)).astype("float64"))
rows["Amount"] = random.lognormal(3, 1.5, len(rows))
scores = {
    model: np.asarray(mlflow.pyfunc.load_model(f"models:/{model}").predict(rows)).ravel().tolist()
    for model in sys.argv[1:]
}
print(json.dumps(scores))
