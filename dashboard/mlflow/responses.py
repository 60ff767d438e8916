"""Runs and experiments in MLflow's format, in a constant number of queries."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from dashboard.mlflow.endpoints import DEFAULT
from dashboard.mlflow.vocabulary import NAME, NOTE, PARENT, TAG_COLUMNS, millis, status_from_run
from jobs.models import Project, Run, RunInput, RunMetric, RunParam, RunTag, Team
from jobs.series import non_finite_name

RUNS_A_QUERY = 500  # ids in one IN


def experiment(project: Project | None, team: Team) -> dict[str, Any]:
    if project is None:
        return _experiment(DEFAULT, "Default", team.created_at, team.created_at, is_archived=False, tags={})
    is_archived = project.archived_at is not None
    return _experiment(
        str(project.id), project.name, project.created_at, project.updated_at, is_archived, project.tags
    )


def _experiment(
    experiment_id: str,
    name: str,
    created: datetime,
    updated: datetime,
    is_archived: bool,
    tags: dict[str, str],
) -> dict[str, Any]:
    return {
        "experiment_id": experiment_id,
        "name": name,
        "artifact_location": f"mlflow-artifacts:/{experiment_id}",
        "lifecycle_stage": "deleted" if is_archived else "active",
        "creation_time": millis(created),
        "last_update_time": millis(updated),
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }


def run(one: Run) -> dict[str, Any]:
    return runs([one])[0]


def runs(some: Sequence[Run]) -> list[dict[str, Any]]:
    ids = [one.id for one in some]
    metrics, params = _metrics(ids), _pairs(RunParam, ids)
    tags, inputs = _pairs(RunTag, ids), _inputs(ids)
    return [
        {
            "info": info(one),
            "data": {"metrics": metrics[one.id], "params": params[one.id], "tags": _tags(one, tags[one.id])},
            "inputs": {"dataset_inputs": inputs[one.id]},
        }
        for one in some
    ]


def info(one: Run) -> dict[str, Any]:
    experiment_id = str(one.project_id or DEFAULT)
    job = one.job
    found = {
        "run_id": one.id,
        "run_uuid": one.id,
        "run_name": one.name,
        "experiment_id": experiment_id,
        "user_id": one.owner.get_username(),
        "status": status_from_run(one),
        "start_time": millis((job.started_at if job else one.started_at) or one.created_at),
        "artifact_uri": f"mlflow-artifacts:/{experiment_id}/{one.id}/artifacts",
        "lifecycle_stage": "deleted" if one.archived_at else "active",
    }
    ended_at = job.ended_at if job else one.ended_at
    return found if ended_at is None else {**found, "end_time": millis(ended_at)}


def number(value: float) -> float | str:
    """A value as in protobuf's JSON."""
    return value if math.isfinite(value) else non_finite_name(value)


def _tags(one: Run, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    own = {NAME: one.name, NOTE: one.note, PARENT: one.parent_id or ""}
    return [row for row in rows if row["key"] not in TAG_COLUMNS] + [
        {"key": key, "value": value} for key, value in own.items() if value
    ]


def _groups(ids: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(ids), RUNS_A_QUERY):
        yield ids[first : first + RUNS_A_QUERY]


def _pairs(model: type[RunParam] | type[RunTag], ids: list[str]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for some in _groups(ids):
        rows = model.objects.filter(run_id__in=some).values_list("run_id", "key", "value")
        for run_id, key, value in rows.order_by():
            found[run_id].append({"key": key, "value": value})
    return found


def _metrics(ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for some in _groups(ids):
        rows = RunMetric.objects.filter(run_id__in=some).order_by()
        for run_id, key, last, at_us, step in rows.values_list(
            "run_id", "key", "last", "last_at_us", "last_step"
        ):
            value = "NaN" if last is None else number(last)
            found[run_id].append({"key": key, "value": value, "timestamp": at_us // 1000, "step": step or 0})
    return found


def _inputs(ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for some in _groups(ids):
        for row in RunInput.objects.filter(run_id__in=some):
            found[row.run_id].append(_input(row))
    return found


def _input(row: RunInput) -> dict[str, Any]:
    fields = ("name", "digest", "source_type", "source", "schema", "profile")
    dataset = {field: getattr(row, field) for field in fields if getattr(row, field)}
    return {"dataset": dataset, "tags": [{"key": key, "value": value} for key, value in row.tags.items()]}


def pairs(given: Iterable[Any]) -> dict[str, str]:
    return {pair.key: pair.value for pair in given}
