"""What training code logs: metrics, parameters, data sets. A request that comes twice changes nothing the second time.

Metrics of a job's run are refused: its ranks record them, and attempts decide which of its steps count.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from django.db import transaction

from dashboard.access import Scope
from dashboard.mlflow import answers, shapes
from dashboard.mlflow.door import endpoint, get_active_run
from dashboard.mlflow.errors import bad
from dashboard.mlflow.tags import refuse_bad_tags, set_tags
from dashboard.mlflow.words import (
    place_of,
    refuse_bad_name,
)
from engine.request_limits import LOGGED_DATASETS, LOGGED_ENTITIES, LOGGED_METRICS, LOGGED_PAIRS
from engine.telemetry import point_limits
from jobs import series
from jobs.models import Run, RunInput
from jobs.series import codec, idempotent_append, metric_summary
from jobs.tracking import external_runs, params

STREAM = "mlflow"
encode = msgspec.msgpack.Encoder().encode  # exact: JSON has no NaN
CONTEXT = "mlflow.data.context"
LIMITS = {"name": 500, "digest": 36, "source": 65_535, "schema": 1_048_575, "profile": 16_777_215}


@endpoint("POST", shapes.LogMetric, writes=True)
def log_metric(scope: Scope, asked: shapes.LogMetric) -> None:
    for name in ("value", "timestamp"):
        if getattr(asked, name) is None:
            raise bad(f"Missing value for required parameter '{name}'.")
    _write(scope, asked.id, [shapes.Metric(asked.key, asked.value or 0.0, asked.timestamp or 0, asked.step)])


@endpoint("POST", shapes.LogParam, writes=True)
def log_parameter(scope: Scope, asked: shapes.LogParam) -> None:
    _write(scope, asked.id, pairs=[shapes.Pair(asked.key, asked.value)])


@endpoint("POST", shapes.LogBatch, writes=True)
def log_batch(scope: Scope, asked: shapes.LogBatch) -> None:
    for name, count, limit in (
        ("metrics", len(asked.metrics), LOGGED_METRICS),
        ("params", len(asked.params), LOGGED_PAIRS),
        ("tags", len(asked.tags), LOGGED_PAIRS),
        (
            "metrics, params, and tags",
            len(asked.metrics) + len(asked.params) + len(asked.tags),
            LOGGED_ENTITIES,
        ),
    ):
        if count > limit:
            raise bad(
                f"A batch logging request can contain at most {limit} {name}. Got {count} {name}. "
                f"Please split up {name} across multiple requests and try again."
            )
    _write(scope, asked.id, asked.metrics, asked.params, asked.tags)


@endpoint("POST", shapes.LogInputs, writes=True)
def log_inputs(scope: Scope, asked: shapes.LogInputs) -> None:
    run = get_active_run(scope, asked.id)
    if broken := LOGGED_DATASETS.error(len(asked.datasets)):
        raise bad(broken)
    for one in asked.datasets:
        for name, limit in LIMITS.items():
            if len(getattr(one.dataset, name)) > limit:
                raise bad(f"'dataset.{name}' exceeds the maximum length of {limit} characters")
    external_runs.add_inputs(run, [_input(one) for one in asked.datasets])
    external_runs.touch(run)


def _write(
    scope: Scope,
    run_id: str,
    metrics: list[shapes.Metric] = [],  # noqa: B006 (never changed)
    pairs: Iterable[shapes.Pair] = (),
    tags: Iterable[shapes.Pair] = (),
) -> None:
    """All of a request or nothing of it."""
    run = get_active_run(scope, run_id)
    refuse_bad_tags(tags)
    if run.job_id is not None and (metrics or pairs):
        raise bad(
            f"Run {run.id} belongs to job {run.job_id}: its ranks record its metrics, its spec is its parameters. "
            f"Log into a run of your own, nested under it by the tag mlflow.parentRunId={run.id}."
        )
    chosen = _params(pairs)
    with transaction.atomic():
        if chosen:
            params.store(run, chosen)
        if metrics:
            _deliver(run, metrics)
        set_tags(scope, run, answers.pairs(tags))
        external_runs.touch(run)


def _params(pairs: Iterable[shapes.Pair]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, pair in enumerate(pairs):
        refuse_bad_name(pair.key, f"params[{number}].key")
        if pair.key in found:
            raise bad(
                f"Duplicate parameter keys have been submitted: {[pair.key]}. Please ensure the request contains only "
                "one param value per param key."
            )
        found[pair.key] = pair.value
    return found


def _deliver(run: Run, metrics: list[shapes.Metric]) -> None:
    _refuse_bad_points(metrics)
    places = {key: place_of(key) for key in {metric.key for metric in metrics}}
    points = [
        series.Point(
            place.metric, place.source, metric.step, metric.timestamp / 1000, metric.value * place.scale
        )
        for metric, place in ((metric, places[metric.key]) for metric in metrics)
    ]
    points = list(dict.fromkeys(points))  # MLflow keeps equal points once
    is_new = idempotent_append.deliver(run.id, STREAM, encode(metrics), points)
    device = [metric for metric in metrics if places[metric.key].source != metric_summary.SOURCE]
    if (
        is_new and device
    ):  # its series is the device's; in short it is also the run's, under the name its writer knows
        own = [
            series.Point(one.key, metric_summary.SOURCE, one.step, one.timestamp / 1000, one.value)
            for one in device
        ]
        metric_summary.add(run.id, codec.columns_by_key(own))


def _refuse_bad_points(metrics: list[shapes.Metric]) -> None:
    """Any metric name that a column holds is taken, also one that MLflow's own server refuses as a path."""
    names, times_ms, steps = zip(*((one.key, one.timestamp, one.step) for one in metrics), strict=True)
    for parameter, broken in (
        ("key", next(filter(None, map(point_limits.name_error, set(names))), "")),
        ("timestamp", point_limits.time_error(max(times_ms) // 1000)),
        ("step", point_limits.step_error(min(steps)) or point_limits.step_error(max(steps))),
    ):
        if broken:
            raise bad(f"Invalid value for parameter '{parameter}' supplied: {broken}.")


def _input(one: shapes.DatasetInput) -> RunInput:
    tags = answers.pairs(one.tags)
    said = one.dataset
    return RunInput(
        name=said.name,
        digest=said.digest,
        context=tags.get(CONTEXT, "")[:500],
        source_type=said.source_type,
        source=said.source,
        schema=said.schema,
        profile=said.profile,
        tags=tags,
    )
