"""Newest value of each metric of runs, for lists and the API."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from jobs.models import RunMetric
from jobs.series.codec import non_finite_name


def newest(run_ids: Iterable[str], keys: Iterable[str] | None = None) -> dict[str, dict[str, float]]:
    """{run: {metric: newest value}} for all metrics or the given keys; NaN and infinities stay as they are."""
    rows = RunMetric.objects.filter(run__in=list(run_ids))
    if keys is not None:
        rows = rows.filter(key__in=list(keys))
    found: dict[str, dict[str, float]] = {}
    for run_id, key, last in rows.values_list("run_id", "key", "last"):
        found.setdefault(run_id, {})[key] = math.nan if last is None else last
    return found


def plain(values: Mapping[str, float]) -> dict[str, float | str]:
    """The values for JSON, which has no NaN and no infinity: those become texts."""
    return {key: value if math.isfinite(value) else non_finite_name(value) for key, value in values.items()}
