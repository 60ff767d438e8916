"""Likely durations of jobs, each with its source."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from engine.directory import checkpoint_step
from jobs.epoch import Epoch
from jobs.models import Attempt, Job, Pool
from jobs.states.jobs import JobState

HISTORY = 200  # newest ended jobs of a pool that are read
FEWEST_SIMILAR, FEWEST_SHARES = 1, 5
FEWEST_RATIOS = 3  # of measured to planned step time, before plans are scaled by it
START_S = 20.0  # from the assignment to the first step, in a pool without an ended job
SPARE_SHARE = 0.2  # that a proposed time limit has above the likely duration


@dataclass(frozen=True)
class Duration:
    """Seconds that a job likely still holds devices, and where they come from."""

    seconds: float | None
    code: str  # a key of SOURCES
    n: int = 0  # ended jobs behind it

    @property
    def source(self) -> str:
        return SOURCES[self.code].format(n=self.n, s="" if self.n == 1 else "s")

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "n": self.n}


SOURCES = {
    "pace": "from the pace of its steps",
    "similar": "from {n} ended job{s} of the same size",
    "plan": "from its plan",
    "scaled_plan": "from its plan, scaled by {n} ended jobs of the pool",
    "shares": "from the share of their time limit that {n} ended jobs of the pool used",
    "none": "no pace yet: it has made no step, has no planned step time, and the pool has too few ended jobs",
}
UNKNOWN = Duration(None, "none")


@dataclass
class PoolHistory:
    """What ended jobs of a pool tell about others."""

    step_s: dict[tuple[Any, ...], list[float]] = field(default_factory=lambda: defaultdict(list))  # by size
    ratios: list[float] = field(default_factory=list)  # measured to planned seconds of a step
    shares: list[float] = field(default_factory=list)  # of the time limit
    starts_s: list[float] = field(default_factory=list)  # from the assignment to the first step

    @property
    def start_s(self) -> float:
        return statistics.median(self.starts_s) if self.starts_s else START_S

    def estimate(self, plan: Mapping[str, Any], num_steps: int, limit_s: float) -> Duration:
        """The likely duration of a job that has `num_steps` steps to do and has not begun."""
        similar = self.step_s.get(size) if (size := _size(plan)) else None
        if similar and len(similar) >= FEWEST_SIMILAR:
            return Duration(self.start_s + statistics.median(similar) * num_steps, "similar", len(similar))
        planned_s = _planned_step_s(plan)
        if planned_s is not None:
            is_scaled = len(self.ratios) >= FEWEST_RATIOS
            ratio = statistics.median(self.ratios) if is_scaled else 1.0
            seconds = self.start_s + planned_s * ratio * num_steps
            return Duration(
                seconds, "scaled_plan" if is_scaled else "plan", len(self.ratios) if is_scaled else 0
            )
        if len(self.shares) >= FEWEST_SHARES:
            return Duration(statistics.median(self.shares) * limit_s, "shares", len(self.shares))
        return UNKNOWN


def read_history(pool: Pool) -> PoolHistory:
    """Read the newest jobs that succeeded in one attempt. One query."""
    found = PoolHistory()
    ended = Job.objects.filter(
        pool=pool, state=JobState.SUCCEEDED, attempt_number=1, started_at__isnull=False
    )
    rows = ended.order_by("-ended_at").annotate(assigned_at=Min("attempts__assigned_at"))[:HISTORY]
    columns = (
        "plan", "step", "time_limit_s", Epoch("assigned_at"), Epoch("started_at"), Epoch("ended_at"),
    )  # fmt: skip
    for plan, step, limit_s, assigned_at, started_at, ended_at in rows.values_list(*columns):
        if assigned_at is None or ended_at is None or not step:
            continue
        start_s = max(0.0, started_at - assigned_at)
        found.starts_s.append(start_s)
        found.shares.append(min(1.0, max(0.0, ended_at - assigned_at) / limit_s))
        step_s = max(0.0, ended_at - started_at) / step
        if size := _size(plan):
            found.step_s[size].append(step_s)
        if planned_s := _planned_step_s(plan):
            found.ratios.append(step_s / planned_s)
    return found


def steps_left(job: Job) -> int:
    """Steps until the job ends or pauses at its halt step."""
    return max(0, _last_step(job) - job.step)


def left_of_attempt(job: Job, attempt: Attempt, now: datetime) -> Duration:
    """The likely rest of a live attempt, by its pace; before its second step by the duration estimated at submit."""
    pace_s = _pace_s(job, attempt)
    if pace_s is not None and job.stepped_at is not None:
        left_s = pace_s * steps_left(job) - (now - job.stepped_at).total_seconds()
        return Duration(max(0.0, left_s), "pace")
    if job.duration_s is None:
        return UNKNOWN
    held_s = (now - attempt.assigned_at).total_seconds()
    return Duration(max(0.0, job.duration_s - held_s), job.duration_from.get("code", "plan"),
                    job.duration_from.get("n", 0))  # fmt: skip


def likely_end(job: Job, attempt: Attempt, now: datetime) -> datetime | None:
    """When the attempt likely ends by its steps, its time limit left aside; None: nothing tells it."""
    left = left_of_attempt(job, attempt, now)
    return None if left.seconds is None else now + timedelta(seconds=min(left.seconds, 1e9))


def _pace_s(job: Job, attempt: Attempt) -> float | None:
    """Seconds per step of this attempt, by the clock: validations and checkpoints between its steps count."""
    if job.stepped_at is None or attempt.started_at is None or attempt.number != job.attempt_number:
        return None
    first_step = attempt.clock.get("first_step")
    if first_step is None:
        first_step = checkpoint_step(attempt.resumed_from) or 0 if attempt.resumed_from else 0
    begun_at = attempt.started_at + timedelta(
        seconds=sum(s for name, s in attempt.phases.items() if name not in ("queued", "starting"))
    )
    if attempt.number == 1 and job.started_at is not None:
        begun_at = job.started_at
    done = job.step - int(first_step) - 1
    elapsed_s = (job.stepped_at - begun_at).total_seconds()
    return elapsed_s / done if done > 0 and elapsed_s > 0 else None


def _last_step(job: Job) -> int:
    halt = job.halt_at_step
    return min(job.num_steps, halt) if halt is not None and halt > job.step else job.num_steps


def _size(plan: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What jobs of the same speed share; None without a plan."""
    if not plan.get("num_parameters"):
        return None
    return tuple(
        plan.get(name)
        for name in ("num_parameters", "tokens_per_step", "world_size", "accumulation", "dtype")
    )


def _planned_step_s(plan: Mapping[str, Any]) -> float | None:
    found = ((plan.get("time") or {}).get("step_s") or {}).get("point")
    return float(found) if found and math.isfinite(found) else None
