"""Ledger of a run that Fourwalls did not launch, from the marks of its script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from django.utils import timezone

from jobs.ledger.attempts import AttemptLedger
from jobs.ledger.jobs import OVER, JobLedger
from jobs.models import Run, RunClock
from jobs.states.jobs import FINAL

NO_MARKS = (
    "The script marks no steps, so where its time went is not known. `with run.step():` around a step, and "
    '`with run.phase("validation"):` and the like around what is beside it, tell.'
)
NO_CLOCK = (
    "Its client reports no marks of steps, so where its time went is not known. The client of Fourwalls does, beside "
    "any other."
)
CUT = "Its script ended without a last report; what came after the newest one is unexplained."


def build_logged_ledger(run: Run, now: datetime | None = None) -> JobLedger | None:
    """Return the ledger of a logged run, one attempt per process that began or continued it. None if the times of its
    begin and end are not known."""
    clocks = list(run.clocks.order_by("began_at", "id"))
    attempts = _build_attempts(run, clocks) if clocks else _build_without_clock(run, now or timezone.now())
    if attempts is None:
        return None
    gaps = pairwise(clocks)
    over_s = sum(max(0.0, later.began_at - earlier.at) for earlier, later in gaps)
    return JobLedger(tuple(attempts), {OVER: over_s} if over_s else {}, None, is_logged=True)


def _build_attempts(run: Run, clocks: Sequence[RunClock]) -> list[AttemptLedger]:
    found = []
    for number, clock in enumerate(clocks, start=1):
        is_last, is_over = number == len(clocks), clock.is_final or run.state in FINAL
        end = clock.at
        if is_last and not clock.is_final and run.ended_at is not None:
            end = max(end, run.ended_at.timestamp())
        if not is_last:  # a process that was killed lived at most until the next one began
            is_over = True
        seconds = dict(clock.seconds)
        if end > clock.at:
            seconds["unexplained"] = seconds.get("unexplained", 0.0) + end - clock.at
        note = NO_MARKS if not clock.steps and "step" not in seconds else CUT if end > clock.at else ""
        num_steps = max(0, clock.steps - 1)
        held_s = max(0.0, end - clock.began_at)
        found.append(AttemptLedger(number, not is_over, held_s, _scale(seconds, held_s), num_steps, 0, note))
    return found


def _scale(seconds: dict[str, float], held_s: float) -> dict[str, float]:
    """The parts, adding up exactly: the two clocks of a process differ by milliseconds."""
    total_s = sum(seconds.values())
    return {name: value * held_s / total_s for name, value in seconds.items() if value > 0 and total_s > 0}


def _build_without_clock(run: Run, now: datetime) -> list[AttemptLedger] | None:
    is_over = run.state in FINAL
    end = run.ended_at if is_over else run.last_seen_at or now
    if run.started_at is None or end is None or end <= run.started_at:
        return None
    held_s = (end - run.started_at).total_seconds()
    return [AttemptLedger(1, not is_over, held_s, {"unmarked": held_s}, note=NO_CLOCK)]
