"""Values of fields by run, for scatter plots and parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from django.db.models import Count, QuerySet

from jobs.models import Run, RunMetric, RunParam, RunTag
from jobs.runs.fields import ATTRIBUTES, STATS, Field
from jobs.runs.known import plain

Cell = float | str | None  # None: the run has no value


def matrix(run_ids: Sequence[str], fields: Sequence[Field]) -> dict[str, list[Cell]]:
    """Run -> its values, in the order of the fields. A diverged metric is NaN, a time is in seconds since 1970, a tag
    without a value is 'yes'. At most one query for each kind of field."""
    found: dict[str, dict[Field, Cell]] = {run_id: {} for run_id in run_ids}
    kinds = {kind: [field for field in fields if field.kind == kind] for kind in READERS}
    for kind, some in kinds.items():
        if some and run_ids:
            READERS[kind](run_ids, some, found)
    return {run_id: [cells.get(field) for field in fields] for run_id, cells in found.items()}


def differing(runs: QuerySet[Run]) -> list[Field]:
    """Parameters with more than one value among these runs, those with the most values first."""
    rows = RunParam.objects.filter(run__in=plain(runs)).values_list("key")
    several = rows.annotate(n=Count("value", distinct=True)).filter(n__gt=1).order_by("-n", "key")
    return [Field("param", key) for key, _ in several]


def _attributes(run_ids: Sequence[str], fields: list[Field], found: dict[str, dict[Field, Cell]]) -> None:
    reads = {f"_{field.key}": ATTRIBUTES[field.key].read for field in fields}
    for run_id, *values in Run.objects.filter(id__in=run_ids).order_by().values_list("id", *reads.values()):
        found[run_id] |= {field: _cell(value) for field, value in zip(fields, values, strict=True)}


def _metrics(run_ids: Sequence[str], fields: list[Field], found: dict[str, dict[Field, Cell]]) -> None:
    by_key: dict[str, list[Field]] = {}
    for field in fields:
        by_key.setdefault(field.key, []).append(field)
    rows = RunMetric.objects.filter(run__in=run_ids, key__in=by_key)
    for run_id, key, *values in rows.values_list("run_id", "key", *STATS.values()):
        stats = dict(zip(STATS, values, strict=True))
        found[run_id] |= {f: math.nan if stats[f.stat] is None else stats[f.stat] for f in by_key[key]}


def _params(run_ids: Sequence[str], fields: list[Field], found: dict[str, dict[Field, Cell]]) -> None:
    by_key = {field.key: field for field in fields}
    rows = RunParam.objects.filter(run__in=run_ids, key__in=by_key)
    for run_id, key, value, number in rows.values_list("run_id", "key", "value", "number"):
        found[run_id][by_key[key]] = value if number is None else number


def _tags(run_ids: Sequence[str], fields: list[Field], found: dict[str, dict[Field, Cell]]) -> None:
    by_key = {field.key: field for field in fields}
    rows = RunTag.objects.filter(run__in=run_ids, key__in=by_key)
    for run_id, key, value in rows.values_list("run_id", "key", "value"):
        found[run_id][by_key[key]] = value or "yes"


READERS = {"attribute": _attributes, "metric": _metrics, "param": _params, "tag": _tags}


def _cell(value: object) -> Cell:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, int | float):
        return float(value)
    return None if value is None else str(value)
