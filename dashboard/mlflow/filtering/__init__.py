"""MLflow's search language, parsed and compiled to queries."""
