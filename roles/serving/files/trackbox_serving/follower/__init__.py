"""Follow aliases in MLflow's registry: download a version, check it, test it, and switch clients to it."""
