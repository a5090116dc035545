"""Bodies of requests: from bytes to a matrix by the fast way, or to what MLflow's functions make of them."""
