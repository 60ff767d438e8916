"""Histories of metrics: every point of one run, or enough points of many runs to draw them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dashboard.access import Scope
from dashboard.mlflow import answers, paging, shapes
from dashboard.mlflow.door import endpoint, get_run
from dashboard.mlflow.errors import bad, nothing
from dashboard.mlflow.words import Place, place_of
from engine.request_limits import HISTORY_POINTS, HISTORY_RUNS
from jobs import series
from jobs.models import Run
from jobs.series.codec import NO_STEP, Columns

NOTHING = Columns(np.empty(0, "<i8"), np.empty(0, "<i8"), np.empty(0, "<f8"))


@endpoint("GET", shapes.History)
def get_history(scope: Scope, asked: shapes.History) -> dict[str, Any]:
    run = get_run(scope, asked.id)
    place = place_of(_key(asked.metric_key))
    columns = series.raw_of_runs([run.id], place.metric, place.source).get(run.id, NOTHING)
    start, size = paging.start_of(asked.page_token), min(asked.max_results, HISTORY_POINTS)
    page = columns.only(slice(start, start + size))
    answer: dict[str, Any] = {"metrics": list(_rows(asked.metric_key, place, page))}
    return paging.with_token(answer, start, size, is_more=len(columns.steps) > start + size)


@endpoint("GET", shapes.HistoryOfMany)
def get_history_bulk(scope: Scope, asked: shapes.HistoryOfMany) -> dict[str, Any]:
    """The first points of all runs together, by run and time."""
    place = place_of(_key(asked.metric_key))
    found = series.raw_of_runs(sorted(_ids(scope, asked.run_id)), place.metric, place.source)
    rows: list[dict[str, Any]] = []
    size = min(asked.max_results, HISTORY_POINTS)
    for run_id, columns in found.items():
        page = columns.only(slice(size - len(rows)))
        rows += [{**row, "run_id": run_id} for row in _rows(asked.metric_key, place, page)]
    return {"metrics": rows}


@endpoint("GET", shapes.Interval)
def get_history_bulk_interval(scope: Scope, asked: shapes.Interval) -> dict[str, Any]:
    """At most max_results points a run between two steps: the extremes are among them, whatever is left out."""
    if (asked.start_step is None) != (asked.end_step is None):
        raise bad("If either start step or end step are specified, both must be specified.")
    if asked.start_step is not None and asked.end_step is not None and asked.start_step > asked.end_step:
        raise bad(
            "end_step must be greater than start_step. "
            f"Found start_step={asked.start_step} and end_step={asked.end_step}."
        )
    place = place_of(_key(asked.metric_key))
    found = series.raw_of_runs(_ids(scope, asked.run_ids), place.metric, place.source)
    rows: list[dict[str, Any]] = []
    for run_id, columns in found.items():
        if asked.start_step is not None:
            columns = columns.only((columns.steps >= asked.start_step) & (columns.steps <= asked.end_step))
        thinned = series.thin(columns, asked.max_results)
        rows += [{**row, "run_id": run_id} for row in _rows(asked.metric_key, place, thinned)]
    return {"metrics": rows}


def _key(key: str) -> str:
    if not key:
        raise bad("Missing value for required parameter 'metric_key'.")
    return key


def _ids(scope: Scope, asked: list[str]) -> list[str]:
    if not asked:
        raise bad("The request must specify at least one run_id.")
    if broken := HISTORY_RUNS.error(len(asked)):
        raise bad(broken)
    known = set(scope.seen(Run).filter(id__in=asked).values_list("id", flat=True))
    for run_id in asked:
        if run_id not in known:
            raise nothing(f"Run with id={run_id} not found")
    return list(dict.fromkeys(asked))


def _rows(key: str, place: Place, columns: Columns) -> Iterator[dict[str, Any]]:
    values = columns.values if place.scale == 1 else (columns.values / place.scale).round(6)
    for step, at_us, value in zip(
        columns.steps.tolist(), columns.times_us.tolist(), values.tolist(), strict=True
    ):
        yield {
            "key": key,
            "value": answers.number(value),
            "timestamp": at_us // 1000,
            "step": 0 if step == NO_STEP else step,
        }
