"""MLflow's search language: `metrics.loss < 2.1 and params.model = 'gpt'`, read here and compiled to queries."""
