"""MLflow's tracking server as Trackbox runs it: a prefork server, ASGI middlewares, and maintenance of its stores."""
