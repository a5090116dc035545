"""Fit models of `fraud`, save them in the folders that the scoring server reads, and write bodies of scoring requests.

Standard input is a JSON object with these keys:

folder      an existing folder
recipes     names of recipes of the profile `default`
rows        row counts of the scoring requests

In the folder, the program creates models/NAME/1 and log/NAME/1 for each recipe, and rows-N.json and rows-N.parquet for
each row count. It prints an empty JSON object.
"""

import json
import sys
from pathlib import Path

from fraud.data.schema import FEATURES, LABEL
from fraud.data.synthetic import generate
from fraud.models.flavours import save
from fraud.models.recipes import PROFILES
from mlflow.models import Model


def main():
    """Write the models and the request bodies."""
    given = json.load(sys.stdin)
    folder, largest = Path(given["folder"]), max(given["rows"])
    data = generate(3000, 150, seed=3)
    for recipe in PROFILES["default"]:
        if recipe.name in given["recipes"]:
            estimator = recipe.build(0, 1).fit(data[FEATURES], data[LABEL])
            place = folder / "models" / recipe.name / "1"
            place.mkdir(parents=True)
            (folder / "log" / recipe.name / "1").mkdir(parents=True)
            save(estimator, place / "model", Model(metadata={"threshold": 0.3}), data.iloc[:5])
            about = {"name": recipe.name, "version": "1", "run_id": "r1", "threshold": 0.3}
            (place / "about.json").write_text(json.dumps(about))
    # Sample with replacement, because the largest request needs more rows than `data` has.
    rows = data[FEATURES].sample(largest, replace=True, random_state=1)
    for number in given["rows"]:
        frame = rows.head(number)
        split = {"columns": FEATURES, "data": frame.to_numpy().round(6).tolist()}
        (folder / f"rows-{number}.json").write_text(json.dumps({"dataframe_split": split}))
        frame.to_parquet(folder / f"rows-{number}.parquet", index=False)
    print("{}")


if __name__ == "__main__":
    main()
