"""MLflow's tracking REST API over our own tables: the unmodified `mlflow` client works with a token.

An experiment is a project, a run a run, an artifact an artefact; delete is archive. Experiment "0" is the team's
default: its runs without a project.
"""
