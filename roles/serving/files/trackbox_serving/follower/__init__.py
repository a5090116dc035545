"""Follow aliases in MLflow's registry: download a version, check it, let it prove itself, and switch to it."""
