"""Bound of the number of series of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from engine.request_limits import RUN_SERIES
from jobs.models import Run, RunEvent, RunMetric, StoredSeries
from jobs.series.codec import Key
from jobs.series.metric_summary import SOURCE

CACHED = 10_000

# Run -> at most how many series it has. Each delivery adds its own number; the database is asked when the sum reaches
# the limit, so that a delivery usually costs no query.
_at_most: dict[str, int] = {}


def find_too_many(run: Run, keys: Collection[Key]) -> set[Key]:
    """The new series of a delivery that exceed the run's limit, the last ones by name. The first time, an event of the
    run names some of them."""
    most = _at_most.get(run.id)
    if most is None:
        most = _count(run)
    if most + len(keys) > RUN_SERIES:
        most = _count(run)
        if most + len(keys) > RUN_SERIES and (new := sorted(set(keys) - _known(run))):
            left_out = set(new[max(0, RUN_SERIES - most) :])
            _keep(run.id, most + len(new) - len(left_out))
            if left_out:
                _record(run, left_out)
            return left_out
        _keep(run.id, most)
        return set()
    _keep(run.id, most + len(keys))
    return set()


def describe(left_out: Iterable[Key]) -> str:
    names = sorted({metric for metric, _ in left_out})
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    shown = ", ".join(f"'{name[:80]}'" for name in names[:3])
    return (
        f"A run has at most {RUN_SERIES:,} series; {shown}{more} would exceed them and were left out. "
        "Put what varies into the step, or log into several runs."
    )


def _count(run: Run) -> int:
    return RunMetric.objects.filter(run=run).count() + _others(run).count()


def _known(run: Run) -> set[Key]:
    of_run = {(key, SOURCE) for key in RunMetric.objects.filter(run=run).values_list("key", flat=True)}
    return of_run | set(_others(run).values_list("metric", "source"))


def _others(run: Run):  # type: ignore[no-untyped-def]
    """Folded series of other sources than the run itself, which have no summary row."""
    return StoredSeries.objects.filter(stream__run=run).exclude(source=SOURCE)


def _keep(run_id: str, most: int) -> None:
    if len(_at_most) >= CACHED:
        _at_most.clear()
    _at_most[run_id] = most


def _record(run: Run, left_out: set[Key]) -> None:
    kind = "run.metrics left out"
    if not RunEvent.objects.filter(run=run, kind=kind).exists():
        RunEvent.objects.create(run=run, actor="ingest", kind=kind, text=describe(left_out))
