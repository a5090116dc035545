"""Load each registered model that has an alias, and score its input example; print a line for each model.

If a model needs packages that this environment lacks, the program only reports it. Any other error makes the exit
code 1.
"""

import sys
import warnings

import mlflow

warnings.simplefilter("ignore")
failed = False
for registered in mlflow.MlflowClient().search_registered_models(max_results=1000):
    for alias, version in registered.aliases.items():
        name = f"{registered.name}@{alias} (version {version})"
        try:
            model = mlflow.pyfunc.load_model(f"models:/{registered.name}@{alias}")
            example = model.input_example
            scored = "has no example to score" if example is None else f"scored {len(model.predict(example))} rows"
            print(f"{name} was loaded, and {scored}")
        except ImportError as error:
            print(f"{name} was not loaded here: {error}")
        except Exception as error:
            failed = True
            print(f"{name}: {type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)
sys.exit(failed)
