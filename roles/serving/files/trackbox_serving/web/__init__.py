"""The HTTP interface of one version: MLflow's protocol, the Open Inference Protocol, pages and metrics."""
