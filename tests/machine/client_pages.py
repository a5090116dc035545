"""Create data for each page of MLflow: two runs with curves and artifacts, a registered model. Print the run ids."""

import json

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

mlflow.set_experiment("pages")
rows = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=["a", "b", "c"])
model = LogisticRegression().fit(rows, rows["a"] > 0)
runs = []
for name, rate in (("first", 0.1), ("second", 0.5)):
    with mlflow.start_run(run_name=name) as run:
        mlflow.log_params({"rate": rate})
        for step in range(20):
            mlflow.log_metric("loss", 1 / (1 + rate * step), step)
        mlflow.log_text("the text of the note", "note.txt")
        mlflow.log_text(
            "<h1>the heading of the page</h1><script>document.body.innerText = 'a script ran'</script>", "page.html"
        )
        mlflow.log_image(np.full((8, 8, 3), 200, dtype=np.uint8), "picture.png")
        mlflow.log_table({"word": ["the cell of the table"]}, "table.json")
        runs.append(run.info.run_id)
        if name == "second":
            mlflow.sklearn.log_model(
                model, name="model", registered_model_name="pages", signature=infer_signature(rows, model.predict(rows))
            )
print(json.dumps({"experiment": run.info.experiment_id, "runs": runs}))
