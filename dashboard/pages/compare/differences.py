"""Where chosen runs differ: their parameters and tags, side by side, with what is equal apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.models import Run, RunParam, RunTag

Row = tuple[str, list[str | None]]  # a parameter or tag, and its value in each run; None: it has none
FACETS_LIMIT = 200  # by which runs can be grouped


@dataclass(frozen=True)
class Differences:
    differ: list[Row]
    same: list[tuple[str, str]]
    facets: dict[str, dict[str, str]]  # parameter or tag -> run -> value; what makes groups


def of_runs(runs: Sequence[Run]) -> Differences:
    """Two queries, however many runs."""
    ids = [run.id for run in runs]
    values: dict[str, dict[str, str]] = defaultdict(dict)
    for model, prefix in ((RunParam, ""), (RunTag, "tag:")):
        for run_id, key, value in model.objects.filter(run__in=ids).values_list("run_id", "key", "value"):
            values[prefix + key][run_id] = value
    order = sorted(values, key=lambda key: (key.startswith("tag:"), key))
    rows = [(key, [values[key].get(run_id) for run_id in ids]) for key in order]
    differ = [row for row in rows if len(set(row[1])) > 1]
    same = [(key, some[0]) for key, some in rows if len(set(some)) == 1 and some[0] is not None]
    groups = [key for key, some in differ if 1 < len(set(some)) <= max(2, len(runs) - 1)] or [
        key for key, _ in differ
    ]
    return Differences(differ, same, {key: values[key] for key in groups[:FACETS_LIMIT]})
