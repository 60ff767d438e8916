"""Tables of stored data: runs, parameters, tags, metric summaries and points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Coalesce

from jobs import series
from jobs.exports.formats import Block, ExportTable
from jobs.models import Run, RunMetric, RunParam, RunTag
from jobs.series.codec import NO_STEP

BLOCK_ROWS = 10_000


def run_tables(runs: QuerySet[Run]) -> Iterator[ExportTable]:
    """All data of the runs except their points."""
    found = runs.order_by("created_at", "id")
    annotated = found.annotate(
        current_state=Coalesce("job__state", "state"),
        began_at=Coalesce("job__started_at", "started_at"),
        over_at=Coalesce("job__ended_at", "ended_at"),
    )
    yield ExportTable("runs", RUN_COLUMNS, _row_blocks(annotated, (*RUN_FIELDS, *TIME_FIELDS)))
    for name, model, fields in (
        ("params", RunParam, ("run_id", "key", "value")),
        ("tags", RunTag, ("run_id", "key", "value")),
    ):
        rows = model.objects.filter(run__in=found.order_by()).order_by("run_id", "key")
        yield ExportTable(name, dict.fromkeys(("run", "key", "value"), "text"), _row_blocks(rows, fields))
    metrics = RunMetric.objects.filter(run__in=found.order_by()).order_by("run_id", "key")
    yield ExportTable("metrics", METRIC_COLUMNS, _row_blocks(metrics, METRIC_FIELDS))


def points_table(run_ids: Iterable[str]) -> ExportTable:
    """Every point as written; `attempt` distinguishes points of a step that a later attempt repeated."""
    return ExportTable(
        "points", POINT_COLUMNS, chain.from_iterable(_point_blocks(run_id) for run_id in run_ids)
    )


RUN_FIELDS = (
    "id",
    "name",
    "team__slug",
    "project__name",
    "owner__username",
    "current_state",
    "origin",
    "job_id",
    "note",
)
TIME_FIELDS = ("created_at", "began_at", "over_at", "archived_at")
RUN_COLUMNS = dict.fromkeys(
    ("run", "name", "team", "project", "owner", "state", "origin", "job", "note"), "text"
)
RUN_COLUMNS |= dict.fromkeys(("created_at", "started_at", "ended_at", "archived_at"), "time")
METRIC_FIELDS = (
    "run_id",
    "key",
    "last",
    "last_step",
    "last_at_us",
    "low",
    "high",
    "mean",
    "num_finite",
    "count",
)
METRIC_COLUMNS = {"run": "text", "metric": "text", "last": "float", "last_step": "int", "last_time_us": "int"}
METRIC_COLUMNS |= {"min": "float", "max": "float", "mean": "float", "num_finite": "int", "count": "int"}
POINT_COLUMNS = {"run": "text", "metric": "text", "source": "text", "attempt": "int"}
POINT_COLUMNS |= {"step": "int", "time_us": "int", "value": "float"}


def _row_blocks(rows: QuerySet[Any], fields: Sequence[str]) -> Iterator[Block]:
    remaining = rows.values_list(*fields).iterator(chunk_size=BLOCK_ROWS)
    while block := list(islice(remaining, BLOCK_ROWS)):
        yield list(zip(*block, strict=True))


def _point_blocks(run_id: str) -> Iterator[Block]:
    for raw in series.raw(run_id):
        steps, times_us, values = raw.columns
        for first in range(0, len(steps), BLOCK_ROWS):
            rows = slice(first, first + BLOCK_ROWS)
            count = len(steps[rows])
            constant_columns = [[value] * count for value in (run_id, raw.metric, raw.source, raw.attempt)]
            step_column = [None if step == NO_STEP else step for step in steps[rows].tolist()]
            yield [*constant_columns, step_column, times_us[rows].tolist(), values[rows].tolist()]
