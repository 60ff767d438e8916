"""Logging of metrics, parameters and data sets.

A repeated request changes nothing. Metrics of a job's run are refused: its ranks record them, and attempts decide
which of its steps count.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from django.db import transaction

from dashboard.access import Scope
from dashboard.mlflow import responses, shapes
from dashboard.mlflow.endpoints import endpoint, get_active_run
from dashboard.mlflow.errors import invalid
from dashboard.mlflow.tags import refuse_bad_tags, set_tags
from dashboard.mlflow.vocabulary import (
    refuse_bad_name,
    series_location,
)
from engine.request_limits import LOGGED_DATASETS, LOGGED_ENTITIES, LOGGED_METRICS, LOGGED_PAIRS
from engine.telemetry import point_limits
from jobs import series
from jobs.models import Run, RunInput
from jobs.people import storage
from jobs.series import codec, idempotent_append, metric_summary
from jobs.tracking import external_runs, metric_names, params

STREAM = "mlflow"
encode = msgspec.msgpack.Encoder().encode  # exact: JSON has no NaN
CONTEXT = "mlflow.data.context"
LIMITS = {"name": 500, "digest": 36, "source": 65_535, "schema": 1_048_575, "profile": 16_777_215}


@endpoint("POST", shapes.LogMetric, writes=True)
def log_metric(scope: Scope, body: shapes.LogMetric) -> None:
    for name in ("value", "timestamp"):
        if getattr(body, name) is None:
            raise invalid(f"Missing value for required parameter '{name}'.")
    _write(scope, body.id, [shapes.MetricIn(body.key, body.value or 0.0, body.timestamp or 0, body.step)])


@endpoint("POST", shapes.LogParam, writes=True)
def log_parameter(scope: Scope, body: shapes.LogParam) -> None:
    _write(scope, body.id, pairs=[shapes.Pair(body.key, body.value)])


@endpoint("POST", shapes.LogBatch, writes=True)
def log_batch(scope: Scope, body: shapes.LogBatch) -> None:
    for name, count, limit in (
        ("metrics", len(body.metrics), LOGGED_METRICS),
        ("params", len(body.params), LOGGED_PAIRS),
        ("tags", len(body.tags), LOGGED_PAIRS),
        (
            "metrics, params, and tags",
            len(body.metrics) + len(body.params) + len(body.tags),
            LOGGED_ENTITIES,
        ),
    ):
        if count > limit:
            raise invalid(
                f"A batch logging request can contain at most {limit} {name}. Got {count} {name}. "
                f"Please split up {name} across multiple requests and try again."
            )
    _write(scope, body.id, body.metrics, body.params, body.tags)


@endpoint("POST", shapes.LogInputs, writes=True)
def log_inputs(scope: Scope, body: shapes.LogInputs) -> None:
    run = get_active_run(scope, body.id)
    if broken := LOGGED_DATASETS.error(len(body.datasets)):
        raise invalid(broken)
    for one in body.datasets:
        for name, limit in LIMITS.items():
            if len(getattr(one.dataset, name)) > limit:
                raise invalid(f"'dataset.{name}' exceeds the maximum length of {limit} characters")
    external_runs.add_inputs(run, [_input(one) for one in body.datasets])
    external_runs.touch(run)


def _write(
    scope: Scope,
    run_id: str,
    metrics: list[shapes.MetricIn] = [],  # noqa: B006 (never changed)
    pairs: Iterable[shapes.Pair] = (),
    tags: Iterable[shapes.Pair] = (),
) -> None:
    """Store all of a request or nothing."""
    run = get_active_run(scope, run_id)
    refuse_bad_tags(tags)
    if run.job_id is not None and (metrics or pairs):
        raise invalid(
            f"Run {run.id} belongs to job {run.job_id}: its ranks record its metrics, its spec is its parameters. "
            f"Log into a run of your own, nested under it by the tag mlflow.parentRunId={run.id}."
        )
    chosen = _params(pairs)
    with transaction.atomic():
        if chosen:
            params.store(run, chosen)
        if metrics:
            _deliver(run, metrics)
        set_tags(scope, run, responses.pairs(tags))
        external_runs.touch(run)


def _params(pairs: Iterable[shapes.Pair]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, pair in enumerate(pairs):
        refuse_bad_name(pair.key, f"params[{number}].key")
        if pair.key in found:
            raise invalid(
                f"Duplicate parameter keys have been submitted: {[pair.key]}. Please ensure the request contains only "
                "one param value per param key."
            )
        found[pair.key] = pair.value
    return found


def _deliver(run: Run, metrics: list[shapes.MetricIn]) -> None:
    _refuse_bad_points(metrics)
    storage.refuse_points(run.team)
    places = {key: series_location(key) for key in {metric.key for metric in metrics}}
    points = [
        series.Point(
            place.metric, place.source, metric.step, metric.timestamp / 1000, metric.value * place.scale
        )
        for metric, place in ((metric, places[metric.key]) for metric in metrics)
    ]
    left_out = metric_names.find_too_many(run, {(point.metric, point.source) for point in points})
    if left_out:
        raise invalid(metric_names.describe(left_out))
    points = list(dict.fromkeys(points))  # MLflow keeps equal points once
    is_new = idempotent_append.deliver(run.id, STREAM, encode(metrics), points)
    device = [metric for metric in metrics if places[metric.key].source != metric_summary.SOURCE]
    if is_new and device:  # stored as series of the device; summarised for the run under MLflow's name
        own = [
            series.Point(one.key, metric_summary.SOURCE, one.step, one.timestamp / 1000, one.value)
            for one in device
        ]
        metric_summary.add(run.id, codec.columns_by_key(own))


def _refuse_bad_points(metrics: list[shapes.MetricIn]) -> None:
    """Raises MlflowError. Accepts every metric name that a column holds, even those that MLflow's server refuses."""
    names, times_ms, steps = zip(*((one.key, one.timestamp, one.step) for one in metrics), strict=True)
    for parameter, broken in (
        ("key", next(filter(None, map(point_limits.name_error, set(names))), "")),
        ("timestamp", point_limits.time_error(max(times_ms) // 1000)),
        ("step", point_limits.step_error(min(steps)) or point_limits.step_error(max(steps))),
    ):
        if broken:
            raise invalid(f"Invalid value for parameter '{parameter}' supplied: {broken}.")


def _input(one: shapes.DatasetInput) -> RunInput:
    tags = responses.pairs(one.tags)
    dataset = one.dataset
    return RunInput(
        name=dataset.name,
        digest=dataset.digest,
        context=tags.get(CONTEXT, "")[:500],
        source_type=dataset.source_type,
        source=dataset.source,
        schema=dataset.schema,
        profile=dataset.profile,
        tags=tags,
    )
