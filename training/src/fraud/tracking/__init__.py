"""MLflow: a check of the server, the runs of a comparison, the registry and served versions."""
