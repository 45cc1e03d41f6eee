"""Numbers about predictions. Nothing here knows about models, files or MLflow."""
