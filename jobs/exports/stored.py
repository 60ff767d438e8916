"""What is stored, as tables: runs, their parameters, tags and metrics in short, and every point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Coalesce

from jobs import series
from jobs.exports.formats import Block, Table
from jobs.models import Run, RunMetric, RunParam, RunTag
from jobs.series.codec import NO_STEP

BLOCK_ROWS = 10_000


def tables(runs: QuerySet[Run]) -> Iterator[Table]:
    """Everything of these runs but their points."""
    found = runs.order_by("created_at", "id")
    about = found.annotate(
        stands=Coalesce("job__state", "state"),
        began=Coalesce("job__started_at", "started_at"),
        over=Coalesce("job__ended_at", "ended_at"),
    )
    yield Table("runs", RUN_COLUMNS, _rows(about, (*RUN_FIELDS, *STAND_FIELDS)))
    for name, model, fields in (
        ("params", RunParam, ("run_id", "key", "value")),
        ("tags", RunTag, ("run_id", "key", "value")),
    ):
        rows = model.objects.filter(run__in=found.order_by()).order_by("run_id", "key")
        yield Table(name, dict.fromkeys(("run", "key", "value"), "text"), _rows(rows, fields))
    metrics = RunMetric.objects.filter(run__in=found.order_by()).order_by("run_id", "key")
    yield Table("metrics", METRIC_COLUMNS, _rows(metrics, METRIC_FIELDS))


def points(run_ids: Iterable[str]) -> Table:
    """Every point as it was written; `attempt` tells those apart that a later one made again."""
    return Table("points", POINT_COLUMNS, chain.from_iterable(_points(run_id) for run_id in run_ids))


RUN_FIELDS = (
    "id",
    "name",
    "team__slug",
    "project__name",
    "owner__username",
    "stands",
    "origin",
    "job_id",
    "note",
)
STAND_FIELDS = ("created_at", "began", "over", "archived_at")
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


def _rows(rows: QuerySet[Any], fields: Sequence[str]) -> Iterator[Block]:
    left = rows.values_list(*fields).iterator(chunk_size=BLOCK_ROWS)
    while some := list(islice(left, BLOCK_ROWS)):
        yield list(zip(*some, strict=True))


def _points(run_id: str) -> Iterator[Block]:
    for one in series.raw(run_id):
        steps, times_us, values = one.columns
        for first in range(0, len(steps), BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            count = len(steps[part])
            same = [[value] * count for value in (run_id, one.metric, one.source, one.attempt)]
            whole = [None if step == NO_STEP else step for step in steps[part].tolist()]
            yield [*same, whole, times_us[part].tolist(), values[part].tolist()]
