"""History of attempts: how each ended, who asked for it, and what was lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict

from django.db.models import QuerySet, Sum

from engine.directory import checkpoint_step
from jobs import series
from jobs.models import Attempt, Charge, Event, Job, Run
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, JobState

Outcome = Literal[
    "live",
    "succeeded",
    "late",
    "preempted",
    "asked_back",
    "paused",
    "cancelled",
    "lost",
    "failed",
    "interrupted",
]
OUTCOME_OF_STATE: dict[str, Outcome] = {
    AttemptState.SUCCEEDED: "succeeded", AttemptState.LOST: "lost", AttemptState.FAILED: "failed",
}  # fmt: skip
OUTCOME_OF_EVENT: dict[str, Outcome] = {"job.paused": "paused", "job.cancelled": "cancelled"}


@dataclass(frozen=True)
class OtherJob:
    """Another job in the history; its run only where the reader may see it."""

    id: str
    run: Run | None


@dataclass(frozen=True)
class AttemptRecord:
    attempt: Attempt
    outcome: Outcome
    resumed_step: int | None  # None: started at the first step
    last_step: int | None  # None: unknown
    lost_steps: int | None  # made, but in no checkpoint that was used; None: unknown, or not over
    wasted_device_s: float | None
    stop_request: Event | None  # who asked for the stop, and why
    preempted_by: OtherJob | None
    preempted: tuple[OtherJob, ...]  # jobs that were stopped in favour of this attempt
    waited_s: float | None  # in the queue before it
    paused: Event | None  # before it waited
    resumed: Event | None

    @property
    def first_step(self) -> int:
        return (self.resumed_step or 0) + 1

    @property
    def held_s(self) -> float | None:
        ended_at = self.attempt.ended_at
        return None if ended_at is None else (ended_at - self.attempt.assigned_at).total_seconds()

    @property
    def stopped_in_s(self) -> float | None:
        """From the request to the release of the devices."""
        if self.stop_request is None or self.attempt.ended_at is None:
            return None
        return max(0.0, (self.attempt.ended_at - self.stop_request.at).total_seconds())

    @property
    def paused_s(self) -> float | None:
        if self.paused is None or self.resumed is None:
            return None
        return (self.resumed.at - self.paused.at).total_seconds()


class Wait(TypedDict):
    waited_s: float | None
    paused: Event | None
    resumed: Event | None


def get_attempt_history(run: Run, job: Job, visible: QuerySet[Run]) -> list[AttemptRecord]:
    """Return the attempts of a job, newest first. A constant number of queries."""
    attempts = list(job.attempts.select_related("node").order_by("number"))
    events = list(job.events.filter(kind__startswith="job.").order_by("id"))
    steps = series.last_steps(run.id)
    wasted = dict(
        Charge.objects.filter(attempt__job=job).values_list("attempt").annotate(Sum("wasted_device_s"))
    )
    victims = list(job.preemptions.order_by("id"))
    others = _other_jobs([a.preempted_by_id for a in attempts] + [a.job_id for a in victims], visible)
    return [
        AttemptRecord(
            attempt=attempt,
            outcome=_outcome(attempt, events),
            resumed_step=checkpoint_step(attempt.resumed_from),
            last_step=_last_step(attempt, steps),
            lost_steps=_lost_steps(attempt, after, _last_step(attempt, steps)),
            wasted_device_s=wasted.get(attempt.id),
            stop_request=_stop_request(attempt, events),
            preempted_by=others.get(attempt.preempted_by_id or ""),
            preempted=_preempted(victims, before, attempt, others),
            **_wait(events, before, attempt),
        )
        for before, attempt, after in zip([None, *attempts], attempts, [*attempts[1:], None], strict=False)
    ][::-1]


def _outcome(attempt: Attempt, events: Sequence[Event]) -> Outcome:
    if attempt.state in ATTEMPT_LIVE:
        return "live"
    if attempt.cause == Cause.TIME_LIMIT:
        return "late"
    if attempt.state != AttemptState.STOPPED:
        return OUTCOME_OF_STATE[attempt.state]
    kinds = [event.kind for event in events if event.attempt_number == attempt.number]
    if kinds and kinds[-1] in OUTCOME_OF_EVENT:
        return OUTCOME_OF_EVENT[kinds[-1]]
    if attempt.preempted_by_id:
        return "preempted"
    return "asked_back" if attempt.yield_reason else "interrupted"


def _stop_request(attempt: Attempt, events: Iterable[Event]) -> Event | None:
    """The last request counts: a person may cancel a job that is being preempted."""
    found = [e for e in events if e.kind == "job.stopping" and e.attempt_number == attempt.number]
    return found[-1] if found else None


def _last_step(attempt: Attempt, steps: dict[int, int]) -> int | None:
    known = [step for step in (steps.get(attempt.number), attempt.checkpoint_step) if step is not None]
    return max(known, default=None)


def _lost_steps(attempt: Attempt, after: Attempt | None, last_step: int | None) -> int | None:
    """Steps that the next attempt had to repeat; before there is one, steps in no checkpoint."""
    if attempt.state in ATTEMPT_LIVE or last_step is None:
        return None
    if attempt.state == AttemptState.SUCCEEDED:
        return 0
    kept = attempt.checkpoint_step
    if after is not None and after.started_at is not None:
        kept = checkpoint_step(after.resumed_from)
    return max(0, last_step - (kept or 0))


def _preempted(
    victims: Iterable[Attempt], before: Attempt | None, attempt: Attempt, others: dict[str, OtherJob]
) -> tuple[OtherJob, ...]:
    """Jobs that were stopped in favour of this one between its last attempt and this one."""
    since: datetime | None = before.assigned_at if before else None
    mine = [v for v in victims if v.ended_at and v.ended_at <= attempt.assigned_at]
    return tuple(others[v.job_id] for v in mine if since is None or (v.ended_at and v.ended_at > since))


def _wait(events: Sequence[Event], before: Attempt | None, attempt: Attempt) -> Wait:
    """The time in the queue, and a pause before it, since the previous attempt."""
    since = before.assigned_at if before else None
    gap = [e for e in events if e.at <= attempt.assigned_at and (since is None or e.at > since)]
    queued = [event for event in gap if event.kind == f"job.{JobState.QUEUED}"]
    paused = [event for event in gap if event.kind == f"job.{JobState.PAUSED}"]
    waited_s = (attempt.assigned_at - queued[-1].at).total_seconds() if queued else None
    was_paused = bool(paused and queued and paused[-1].at <= queued[-1].at)
    return {
        "waited_s": waited_s,
        "paused": paused[-1] if was_paused else None,
        "resumed": queued[-1] if was_paused else None,
    }


def _other_jobs(jobs: Iterable[str | None], visible: QuerySet[Run]) -> dict[str, OtherJob]:
    wanted = {job for job in jobs if job}
    runs = {run.job_id: run for run in visible.filter(job__in=wanted)} if wanted else {}
    return {job: OtherJob(job, runs.get(job)) for job in wanted}
