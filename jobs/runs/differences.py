"""Differences between the parameters and tags of chosen runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.models import Run, RunParam, RunTag

DifferenceRow = tuple[str, list[str | None]]  # parameter or tag, and its value in each run; None: not set
MAX_FACET_VALUES = 20_000  # of all runs together
TAG_PREFIX = "tag:"


@dataclass(frozen=True)
class RunDifferences:
    differ: list[DifferenceRow]
    same: list[tuple[str, str]]
    facets: dict[str, dict[str, str]]  # parameter or tag that differs -> run -> value
    groupable: list[str]  # the facets that make groups
    num_hidden: int = 0  # parameters and tags that differ and are no facet: too many values


def find_differences(runs: Sequence[Run]) -> RunDifferences:
    """Compare parameters and tags of the runs. Facets with fewer values than runs make groups, or all that differ where
    there are none; they come first where not all facets are returned. Two queries for any number of runs."""
    ids = [run.id for run in runs]
    values: dict[str, dict[str, str]] = defaultdict(dict)
    for model, prefix in ((RunParam, ""), (RunTag, TAG_PREFIX)):
        for run_id, key, value in model.objects.filter(run__in=ids).values_list("run_id", "key", "value"):
            values[prefix + key][run_id] = value
    order = sorted(values, key=lambda key: (key.startswith(TAG_PREFIX), key))
    rows = [(key, [values[key].get(run_id) for run_id in ids]) for key in order]
    differ = [row for row in rows if len(set(row[1])) > 1]
    same = [(key, some[0]) for key, some in rows if len(set(some)) == 1 and some[0] is not None]
    groups = [key for key, some in differ if 1 < len(set(some)) <= max(2, len(runs) - 1)]
    keys = [*groups, *(key for key, _ in differ if key not in set(groups))]
    facets = keys[: MAX_FACET_VALUES // max(1, len(runs))]
    groupable = [key for key in groups or keys if key in set(facets)]
    return RunDifferences(
        differ, same, {key: values[key] for key in facets}, groupable, len(keys) - len(facets)
    )
