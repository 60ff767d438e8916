"""Runs of a sweep, ranked by its metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from engine import sweep as definitions
from engine.telemetry.metrics import BY_NAME
from jobs import series
from jobs.models import Job, Run, Sweep
from jobs.sweeps import advance

UNSUBMITTED, REFUSED = "not submitted", "refused"


@dataclass(frozen=True)
class RankedRun:
    """One point of a sweep with its run."""

    number: int
    values: dict[str, Any]
    run: Run | None
    job: Job | None
    state: str  # of the job, or UNSUBMITTED or REFUSED
    step: int
    value: float | None  # newest value of the sweep's metric; None: none yet, or not finite
    position: int | None  # 1 is best
    reason: str  # why it ended or waits

    @property
    def num_steps(self) -> int:
        return self.job.num_steps if self.job else 0


def build_ranking(sweep: Sweep) -> list[RankedRun]:
    """Rank the runs: the best first, then runs without a value by number. Runs three queries."""
    definition = advance.definition_of(sweep)
    runs = {
        run.job.sweep_number: run
        for run in Run.objects.filter(job__sweep=sweep, deletion=None).select_related("job")
        if run.job is not None
    }
    newest = series.newest([run.id for run in runs.values()], [definition.metric])
    values = {n: _finite(newest.get(run.id, {}).get(definition.metric)) for n, run in runs.items() if n}
    positions = {
        number: position
        for position, number in enumerate(definitions.rank_runs(values, definition.goal), start=1)
    }
    rows = [
        _row(
            sweep,
            number,
            {path: point[path] for path in definition.vary},
            runs.get(number),
            values.get(number),
            positions.get(number),
        )
        for number, point in enumerate(sweep.points, start=1)
    ]
    return sorted(rows, key=lambda row: (row.position is None, row.position or 0, row.number))


def to_json(sweep: Sweep, rows: list[RankedRun]) -> dict[str, Any]:
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
    sweep: Sweep,
    number: int,
    values: dict[str, Any],
    run: Run | None,
    value: float | None,
    position: int | None,
) -> RankedRun:
    if run is None or run.job is None:
        refused = sweep.refused.get(str(number), "")
        return RankedRun(
            number, values, None, None, REFUSED if refused else UNSUBMITTED, 0, None, None, refused
        )
    job = run.job
    return RankedRun(
        number, values, run, job, job.state, job.step, value, position, job.reason or job.waiting_reason
    )


def _row_json(row: RankedRun) -> dict[str, Any]:
    return {
        "number": row.number,
        "values": row.values,
        "run": row.run.id if row.run else None,
        "job": row.job.id if row.job else None,
        "state": row.state,
        "step": row.step,
        "value": row.value,
        "place": row.position,
        "why": row.reason,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
