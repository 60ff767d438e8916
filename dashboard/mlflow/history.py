"""Metric histories of one run or of many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dashboard.access import Scope
from dashboard.mlflow import paging, responses, shapes
from dashboard.mlflow.endpoints import endpoint, get_run
from dashboard.mlflow.errors import invalid, not_found
from dashboard.mlflow.vocabulary import SeriesLocation, series_location
from engine.request_limits import HISTORY_POINTS, HISTORY_RUNS
from jobs import series
from jobs.models import Run
from jobs.series.codec import NO_STEP, Columns

NOTHING = Columns(np.empty(0, "<i8"), np.empty(0, "<i8"), np.empty(0, "<f8"))


@endpoint("GET", shapes.History)
def get_history(scope: Scope, body: shapes.History) -> dict[str, Any]:
    run = get_run(scope, body.id)
    place = series_location(_key(body.metric_key))
    columns = series.raw_of_runs([run.id], place.metric, place.source).get(run.id, NOTHING)
    start, size = paging.start_from_token(body.page_token), min(body.max_results, HISTORY_POINTS)
    page = columns.only(slice(start, start + size))
    reply: dict[str, Any] = {"metrics": list(_rows(body.metric_key, place, page))}
    return paging.with_token(reply, start, size, is_more=len(columns.steps) > start + size)


@endpoint("GET", shapes.HistoryOfMany)
def get_history_bulk(scope: Scope, body: shapes.HistoryOfMany) -> dict[str, Any]:
    """The first points of all runs together, sorted by run and time."""
    place = series_location(_key(body.metric_key))
    found = series.raw_of_runs(sorted(_ids(scope, body.run_id)), place.metric, place.source)
    rows: list[dict[str, Any]] = []
    size = min(body.max_results, HISTORY_POINTS)
    for run_id, columns in found.items():
        page = columns.only(slice(size - len(rows)))
        rows += [{**row, "run_id": run_id} for row in _rows(body.metric_key, place, page)]
    return {"metrics": rows}


@endpoint("GET", shapes.Interval)
def get_history_bulk_interval(scope: Scope, body: shapes.Interval) -> dict[str, Any]:
    """At most max_results points a run between two steps, always including the extremes."""
    if (body.start_step is None) != (body.end_step is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    if body.start_step is not None and body.end_step is not None and body.start_step > body.end_step:
        raise invalid(
            "end_step must be greater than start_step. "
            f"Found start_step={body.start_step} and end_step={body.end_step}."
        )
    place = series_location(_key(body.metric_key))
    found = series.raw_of_runs(_ids(scope, body.run_ids), place.metric, place.source)
    rows: list[dict[str, Any]] = []
    for run_id, columns in found.items():
        if body.start_step is not None and body.end_step is not None:
            columns = columns.only((columns.steps >= body.start_step) & (columns.steps <= body.end_step))
        thinned = series.thin(columns, body.max_results)
        rows += [{**row, "run_id": run_id} for row in _rows(body.metric_key, place, thinned)]
    return {"metrics": rows}


def _key(key: str) -> str:
    if not key:
        raise invalid("Missing value for required parameter 'metric_key'.")
    return key


def _ids(scope: Scope, run_ids: list[str]) -> list[str]:
    if not run_ids:
        raise invalid("The request must specify at least one run_id.")
    if broken := HISTORY_RUNS.error(len(run_ids)):
        raise invalid(broken)
    known = set(scope.seen(Run).filter(id__in=run_ids).values_list("id", flat=True))
    for run_id in run_ids:
        if run_id not in known:
            raise not_found(f"Run with id={run_id} not found")
    return list(dict.fromkeys(run_ids))


def _rows(key: str, place: SeriesLocation, columns: Columns) -> Iterator[dict[str, Any]]:
    values = columns.values if place.scale == 1 else (columns.values / place.scale).round(6)
    for step, at_us, value in zip(
        columns.steps.tolist(), columns.times_us.tolist(), values.tolist(), strict=True
    ):
        yield {
            "key": key,
            "value": responses.number(value),
            "timestamp": at_us // 1000,
            "step": 0 if step == NO_STEP else step,
        }
