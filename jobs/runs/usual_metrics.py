"""Default metrics of a table: those that its runs have and people look for first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from django.db.models import Q, QuerySet

from jobs.models import Run, RunMetric
from jobs.series.metric_roles import Role, get_role

SAMPLE_RUNS = 24
ROWS_READ = 20_000
MOST, LEAST = 5, 3  # metrics
LEAST_SHARE = 0.1  # of the runs, for a column
NAMES_OF_ROLE: tuple[tuple[Role, int], ...] = (
    ("loss", 2), ("validation_loss", 2), ("score", 1), ("throughput", 1),
)  # fmt: skip


def choose_usual_metrics(found: QuerySet[Run]) -> list[str]:
    """Names of metrics, read from the newest runs of `found`; at most MOST. None if no run has a metric."""
    newest = list(found.order_by("-created_at").values_list("id", flat=True)[:SAMPLE_RUNS])
    rows = RunMetric.objects.filter(run__in=newest, num_finite__gt=0).values_list("key", "run_id")
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for key, run in rows.order_by("run_id", "key")[:ROWS_READ]:
        holders[key].add(run)
    # Losses and scores of runs with very many metrics are read in any case.
    if sum(map(len, holders.values())) == ROWS_READ:
        named = Q(key__icontains="loss") | Q(key__icontains="acc") | Q(key__icontains="per_s")
        for key, run in rows.filter(named).order_by("run_id", "key")[:ROWS_READ]:
            holders[key].add(run)
    return choose_by_coverage(holders)


def choose_by_coverage(holders: Mapping[str, set[str]]) -> list[str]:
    """`holders`: metric -> the runs that have it. Several names of one role where different runs have them."""
    roles = {name: get_role(name) for name in holders}
    few = LEAST_SHARE * len(set[str]().union(*holders.values()))
    chosen: list[str] = []
    for role, limit in NAMES_OF_ROLE:
        named = [name for name in holders if roles[name].role == role]
        chosen += _cover(sorted(named, key=lambda name: roles[name].rank), holders, limit, few)
    rest = [name for name in holders if name not in chosen and roles[name].role != "counter"]
    rest.sort(key=lambda name: (-len(holders[name]), roles[name].rank))
    return [*chosen, *rest[: max(0, LEAST - len(chosen))]][:MOST]


def _cover(names: Sequence[str], holders: Mapping[str, set[str]], limit: int, few: float) -> list[str]:
    """The plainest name, then those that add the most runs that have none yet; few runs do not make a column."""
    chosen: list[str] = []
    covered: set[str] = set()
    while len(chosen) < limit:
        gains = {name: len(holders[name] - covered) for name in names if name not in chosen}
        best = max(gains.values(), default=0)
        if best <= few:
            break
        name = next(name for name in names if gains.get(name, 0) >= 0.8 * best)
        chosen.append(name)
        covered |= holders[name]
    return chosen
