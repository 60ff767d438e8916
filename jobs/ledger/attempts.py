"""Ledger of one attempt: every second in which it held its devices, by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.directory import checkpoint_step
from engine.telemetry.clock import LOOP_PARTS, START_PARTS
from jobs.models import Attempt
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState

STEP_PARTS = ("step", "lost_steps")
OLD = "An older version of Fourwalls recorded this attempt: only its start is known."
NO_RANK = "It ended before a rank reported."
NOT_YET = "No rank has reported yet."
LATE = "Its rank went on after the attempt had ended; what came later is left out."


@dataclass(frozen=True)
class AttemptLedger:
    """`seconds` by part of engine.telemetry.clock; they add up to `held_s`."""

    number: int
    is_live: bool
    held_s: float  # of an attempt that is not over: until its newest record
    seconds: dict[str, float]
    num_steps: int = 0  # in the parts 'step' and 'lost_steps': without the first
    num_lost_steps: int = 0  # of these
    note: str = ""  # what cannot be told, or ''

    @property
    def unexplained_share(self) -> float:
        return self.seconds.get("unexplained", 0.0) / self.held_s if self.held_s > 0 else 0.0

    @property
    def loop_s(self) -> float:
        return sum(self.seconds.get(name, 0.0) for name in LOOP_PARTS)


def build_attempt_ledgers(attempts: Sequence[Attempt], now: datetime) -> list[AttemptLedger]:
    """Return the ledgers of all attempts of a job, which are in the order of their numbers."""
    return [
        _build(attempt, _get_kept_step(attempt, attempts[at + 1 :]), now)
        for at, attempt in enumerate(attempts)
    ]


def _get_kept_step(attempt: Attempt, later: Sequence[Attempt]) -> int | None:
    """Return the last step of the attempt that counts; None: all of them do, so far.

    A later attempt may have resumed from a checkpoint before this one, if newer ones were damaged.
    """
    resumed = [_get_first_step(one) for one in later if one.started_at is not None]
    if resumed:
        return min(resumed)
    if attempt.state in ATTEMPT_LIVE or attempt.state == AttemptState.SUCCEEDED:
        return None
    return attempt.checkpoint_step or 0


def _get_first_step(attempt: Attempt) -> int:
    """Return the steps that were done before the attempt."""
    known = attempt.clock if attempt.clock.get("step") else {}
    return int(known.get("first_step", checkpoint_step(attempt.resumed_from) or 0))


def _build(attempt: Attempt, kept_step: int | None, now: datetime) -> AttemptLedger:
    is_live = attempt.state in ATTEMPT_LIVE
    assigned_at = attempt.assigned_at.timestamp()
    held_s = max(0.0, (attempt.ended_at or now).timestamp() - assigned_at)
    if not attempt.clock:
        return _build_without_clock(attempt, is_live, held_s)
    at, seconds = attempt.clock["at"], dict(attempt.clock["seconds"])
    rank_s, note = float(sum(seconds.values())), ""
    if is_live:  # what came after the newest record is not known yet
        held_s = max(rank_s, at - assigned_at)
    if rank_s > held_s:
        seconds = {name: value * held_s / rank_s for name, value in seconds.items()}
        rank_s, note = held_s, LATE
    # The clocks of two hosts may differ; the sum of the time before and after the rank does not depend on that.
    outside_s = held_s - rank_s
    seconds["launch"] = outside_s if is_live else min(outside_s, max(0.0, at - rank_s - assigned_at))
    seconds["ending"] = outside_s - seconds["launch"]
    num_steps = max(0, attempt.clock["step"] - attempt.clock["first_step"] - 1)
    num_lost = 0
    if kept_step is not None and num_steps:
        num_lost = min(num_steps, max(0, attempt.clock["step"] - kept_step))
        seconds["lost_steps"] = seconds.get("step", 0.0) * num_lost / num_steps
        seconds["step"] = seconds.get("step", 0.0) - seconds["lost_steps"]
    return AttemptLedger(attempt.number, is_live, held_s, _without_zeros(seconds), num_steps, num_lost, note)


def _build_without_clock(attempt: Attempt, is_live: bool, held_s: float) -> AttemptLedger:
    """Before its rank reports, an attempt has launched only. Attempts of older versions recorded their start."""
    if "imports" not in attempt.phases:
        note = NOT_YET if is_live else NO_RANK
        return AttemptLedger(attempt.number, is_live, held_s, _without_zeros({"launch": held_s}), note=note)
    known = {name: attempt.phases[name] for name in START_PARTS if name in attempt.phases}
    known["launch"] = attempt.phases.get("starting", 0.0)
    known["unexplained"] = max(0.0, held_s - sum(known.values()))
    return AttemptLedger(attempt.number, is_live, held_s, _without_zeros(known), note=OLD)


def _without_zeros(seconds: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in seconds.items() if value > 0}
