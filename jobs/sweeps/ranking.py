"""How the runs of a sweep stand against each other, for pages, scripts and the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from engine import sweep as definitions
from engine.telemetry.metrics import BY_NAME
from jobs import series
from jobs.models import Job, Run, Sweep
from jobs.sweeps import advance

UNBORN, REFUSED = "not submitted", "refused"


@dataclass(frozen=True)
class Row:
    """One point of a sweep with the run that tries it."""

    number: int
    values: dict[str, Any]
    run: Run | None
    job: Job | None
    state: str  # of the job; or why there is none
    step: int
    value: float | None  # newest of the sweep's metric; None: none yet, or not a number
    place: int | None  # 1 is best
    why: str  # how it ended, or why it waits

    @property
    def num_steps(self) -> int:
        return self.job.num_steps if self.job else 0


def of(sweep: Sweep) -> list[Row]:
    """Best first, then those without a value by number. Three queries."""
    definition = advance.definition_of(sweep)
    runs = {
        run.job.sweep_number: run
        for run in Run.objects.filter(job__sweep=sweep).select_related("job")
        if run.job is not None
    }
    newest = series.newest([run.id for run in runs.values()], [definition.metric])
    values = {n: _finite(newest.get(run.id, {}).get(definition.metric)) for n, run in runs.items() if n}
    places = {number: at for at, number in enumerate(definitions.ranked(values, definition.goal), start=1)}
    rows = [
        _row(
            sweep,
            number,
            {path: point[path] for path in definition.vary},
            runs.get(number),
            values.get(number),
            places.get(number),
        )
        for number, point in enumerate(sweep.points, start=1)
    ]
    return sorted(rows, key=lambda row: (row.place is None, row.place or 0, row.number))


def to_json(sweep: Sweep, rows: list[Row]) -> dict[str, Any]:
    return {
        **summary(sweep),
        "definition": sweep.definition,
        "rungs": sweep.rungs,
        "decisions": sweep.decisions,
        "created_at": sweep.created_at.isoformat(),
        "ended_at": sweep.ended_at.isoformat() if sweep.ended_at else None,
        "runs": [_row_json(row) for row in rows],
    }


def summary(sweep: Sweep) -> dict[str, Any]:
    return {
        "id": sweep.id,
        "name": sweep.name,
        "team": sweep.team.slug,
        "owner": sweep.owner.get_username(),
        "state": sweep.state,
        "reason": sweep.reason,
    }


def metric_label(sweep: Sweep) -> str:
    return BY_NAME[advance.definition_of(sweep).metric].label


def _row(
    sweep: Sweep, number: int, values: dict[str, Any], run: Run | None, value: float | None, place: int | None
) -> Row:
    if run is None or run.job is None:
        refused = sweep.refused.get(str(number), "")
        return Row(number, values, None, None, REFUSED if refused else UNBORN, 0, None, None, refused)
    job = run.job
    return Row(number, values, run, job, job.state, job.step, value, place, job.reason or job.waiting_reason)


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "number": row.number,
        "values": row.values,
        "run": row.run.id if row.run else None,
        "job": row.job.id if row.job else None,
        "state": row.state,
        "step": row.step,
        "value": row.value,
        "place": row.place,
        "why": row.why,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
