"""The newest value of each metric of some runs, as lists and the API tell them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from jobs.models import RunMetric
from jobs.series.codec import kind_of


def newest(run_ids: Iterable[str], keys: Iterable[str] | None = None) -> dict[str, dict[str, float]]:
    """{run: {metric: its newest value}}, of all metrics or of some; NaN and infinities as they are."""
    rows = RunMetric.objects.filter(run__in=list(run_ids))
    if keys is not None:
        rows = rows.filter(key__in=list(keys))
    found: dict[str, dict[str, float]] = {}
    for run_id, key, last in rows.values_list("run_id", "key", "last"):
        found.setdefault(run_id, {})[key] = math.nan if last is None else last
    return found


def plain(values: Mapping[str, float]) -> dict[str, float | str]:
    """For JSON, which knows no NaN and no infinity: those become texts."""
    return {key: value if math.isfinite(value) else kind_of(value) for key, value in values.items()}
