"""Saved models load without this package, so they still load after its modules are renamed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.models import Model
from threadpoolctl import threadpool_limits

from fraud.data.schema import FEATURES
from fraud.data.split import split
from fraud.models import flavours
from fraud.models.fitting import fit_estimator
from fraud.models.recipes import PROFILES

#: A program that cannot import `fraud`. It loads each model of a directory and prints its scores.
LOAD = """
import json, sys, warnings
sys.modules["fraud"] = None
warnings.simplefilter("ignore")
import mlflow.pyfunc, numpy, pandas
from pathlib import Path
folder = Path(sys.argv[1])
rows = pandas.read_parquet(folder / "rows.parquet")
print(json.dumps({
    path.name: numpy.asarray(mlflow.pyfunc.load_model(str(path)).predict(rows)).tolist()
    for path in folder.iterdir() if path.is_dir()
}))
"""


def test_models_load_and_score_alike_without_the_package(
    small: pd.DataFrame, tmp_path: Path
) -> None:
    parts, rows = split(small, "time", 0), small[FEATURES].head(50)
    rows.to_parquet(tmp_path / "rows.parquet")
    expected = {}
    with threadpool_limits(limits=1):
        for recipe in PROFILES["default"]:
            estimator = fit_estimator(recipe, parts, 0, 1)
            flavours.save(estimator, tmp_path / recipe.name, Model(), rows.head(5))
            expected[recipe.name] = flavours.predict_scores(estimator, rows)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert loaded.keys() == expected.keys()
    for name, scores in expected.items():
        logged = json.loads((tmp_path / name / flavours.EXAMPLE_SCORES).read_text())["predictions"]
        np.testing.assert_allclose(loaded[name][:5], logged, rtol=1e-6)
        np.testing.assert_allclose(flavours.fraud_scores(loaded[name]), scores, atol=1e-6)
