"""MLflow: whether the server answers, the runs of a comparison and the model registry."""
