"""MLflow's tracking REST API, for the unmodified `mlflow` client.

An experiment is a project, a run a run, an artifact an artefact; delete is archive. Experiment "0" is the team's
default: its runs without a project.
"""
