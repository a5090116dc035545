"""Read request bodies: into a matrix for the fast path, or else with MLflow's own functions."""
