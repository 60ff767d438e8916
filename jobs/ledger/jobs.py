"""Ledger of a job: its attempts, and its time without devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from engine.model_math import counts
from engine.spec.spec import SpecError, parse
from jobs.ledger.attempts import STEP_PARTS, AttemptLedger, build_attempt_ledgers
from jobs.models import Attempt, Event, Job, Run
from jobs.states.jobs import FINAL, JobState

OVER = "over"  # failed or cancelled, before somebody queued it again
WAITING_STATES = {JobState.QUEUED: "queued", JobState.PAUSED: "paused", **dict.fromkeys(FINAL, OVER)}


@dataclass(frozen=True)
class JobLedger:
    """`waited_s`: seconds without devices, as queued, paused or over. Together with the attempts they are the time from
    the submission to the end, or until now."""

    attempts: tuple[AttemptLedger, ...]
    waited_s: dict[str, float]
    tokens_per_step: int | None  # None: the spec is of another version, or the run was only logged
    is_logged: bool = False  # Fourwalls did not launch it: its time is that of its script

    @property
    def held_s(self) -> float:
        return sum(attempt.held_s for attempt in self.attempts)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by part, of all attempts; they add up to `held_s`."""
        found: dict[str, float] = {}
        for attempt in self.attempts:
            for name, seconds in attempt.seconds.items():
                found[name] = found.get(name, 0.0) + seconds
        return found

    @property
    def loop_s(self) -> float:
        return sum(attempt.loop_s for attempt in self.attempts)

    @property
    def num_steps(self) -> int:
        return sum(attempt.num_steps for attempt in self.attempts)

    @property
    def num_lost_steps(self) -> int:
        return sum(attempt.num_lost_steps for attempt in self.attempts)

    @property
    def is_recorded(self) -> bool:
        """Whether the ranks recorded their clocks."""
        return self.num_steps > 0

    @property
    def goodput_share(self) -> float | None:
        """Share of the held time that was spent in steps whose result is kept; None if it was not recorded."""
        if not self.is_recorded or self.held_s <= 0:
            return None
        return self.seconds.get("step", 0.0) / self.held_s

    @property
    def clock_tokens_per_s(self) -> float | None:
        """Tokens of the kept steps over the time of the training loops; None if it was not recorded."""
        if not self.is_recorded or self.tokens_per_step is None or self.loop_s <= 0:
            return None
        return self.tokens_per_step * (self.num_steps - self.num_lost_steps) / self.loop_s

    @property
    def step_tokens_per_s(self) -> float | None:
        """Tokens of all steps over the time within steps; None if it was not recorded."""
        within_s = sum(self.seconds.get(name, 0.0) for name in STEP_PARTS)
        if not self.is_recorded or self.tokens_per_step is None or within_s <= 0:
            return None
        return self.tokens_per_step * self.num_steps / within_s


def build_job_ledger(run: Run, now: datetime | None = None) -> JobLedger | None:
    """Return the ledger of a job's run; None for one that held no device, or trains nothing."""
    job = run.job
    if job is None or not job.attempt_number or run.spec.get("kind", "training") != "training":
        return None
    now = now or timezone.now()
    attempts = list(job.attempts.order_by("number"))
    events = list(job.events.filter(kind__startswith="job.").order_by("id"))
    waited_s = _get_waited(job, attempts, events, now)
    return JobLedger(tuple(build_attempt_ledgers(attempts, now)), waited_s, _get_tokens_per_step(run))


def _get_waited(
    job: Job, attempts: Sequence[Attempt], events: Iterable[Event], now: datetime
) -> dict[str, float]:
    """Divide the time outside attempts by the state that the job had, from its events."""
    ended_at = job.ended_at or now
    borders = [(job.submitted_at, "queued")]
    borders += [
        (event.at, WAITING_STATES[JobState(state)])
        for event in events
        if (state := event.kind.removeprefix("job.")) in WAITING_STATES
    ]
    found: dict[str, float] = {}
    gaps = zip(
        [job.submitted_at, *(attempt.ended_at for attempt in attempts)],
        [*(attempt.assigned_at for attempt in attempts), ended_at],
        strict=True,
    )
    for begin, end in gaps:
        if begin is not None:
            for state, seconds in _divide(begin, end, borders):
                found[state] = found.get(state, 0.0) + seconds
    return found


def _divide(
    begin: datetime, end: datetime, borders: Sequence[tuple[datetime, str]]
) -> Iterable[tuple[str, float]]:
    """Yield (state, seconds) of a time without devices. A state is that of the last border before it."""
    before = [state for at, state in borders if at <= begin]
    state = before[-1] if before else "queued"
    for at, after in sorted(borders, key=lambda border: border[0]):
        if begin < at < end:
            yield state, (at - begin).total_seconds()
            begin, state = at, after
    if end > begin:
        yield state, (end - begin).total_seconds()


def _get_tokens_per_step(run: Run) -> int | None:
    try:
        return counts.tokens_per_step(parse(run.spec))
    except SpecError:
        return None
