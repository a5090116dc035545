"""Programs that maintain MLflow's stores: schema, collation, garbage collection, encrypted secrets, the UI's files."""
