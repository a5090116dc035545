"""Read request bodies, either into a matrix for the fast path or with MLflow's own functions."""
