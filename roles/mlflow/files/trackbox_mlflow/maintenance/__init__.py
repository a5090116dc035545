"""What is done to MLflow's stores beside the server: schema, collation, garbage, and its encrypted secrets."""
