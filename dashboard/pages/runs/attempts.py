"""The attempts of a run as chapters of a story: how each came to an end, at whose wish, and what was lost by it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum

from dashboard.access import Scope
from engine.directory import step_of_checkpoint
from jobs import series
from jobs.models import Attempt, Charge, Event, Job, Run
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, JobState


@dataclass(frozen=True)
class Ending:
    title: str
    tone: str
    icon: str
    after: str  # what charts call the attempt that follows


ENDINGS = {
    "live": Ending("Under way", "busy", "play-fill", ""),
    "succeeded": Ending("Finished", "good", "check-circle-fill", "after its end"),
    "late": Ending("Time limit", "good", "clock", "after its time limit"),
    "preempted": Ending("Preempted", "warn", "chevron-double-down", "after a preemption"),
    "asked_back": Ending("Gave its devices back", "warn", "box-arrow-right", "after giving way"),
    "paused": Ending("Paused", "warn", "pause-fill", "after a pause"),
    "cancelled": Ending("Cancelled", "calm", "slash-circle", "after a cancel"),
    "lost": Ending("Node lost", "bad", "eye-slash", "after a lost node"),
    "failed": Ending("Failed", "bad", "exclamation-circle-fill", "after a failure"),
    "interrupted": Ending("Interrupted", "warn", "lightning-charge", "after an interruption"),
}
OF_STATE = {AttemptState.SUCCEEDED: "succeeded", AttemptState.LOST: "lost", AttemptState.FAILED: "failed"}
OF_JOB = {"job.paused": "paused", "job.cancelled": "cancelled"}


@dataclass(frozen=True)
class Party:
    """Another job of the story; its name and run only where the reader may see them."""

    id: str
    run: Run | None


@dataclass(frozen=True)
class Chapter:
    attempt: Attempt
    kind: str
    resumed_step: int | None  # None: began at the first step
    last_step: int | None  # None: no step is known
    lost_steps: int | None  # made, but not kept by any checkpoint that was used; None: not known, or not over
    wasted_device_s: float | None
    asked: Event | None  # who wanted it to stop, and why
    by: Party | None  # in whose favour
    gave_way: tuple[Party, ...]  # who was stopped in favour of this attempt's job
    waited_s: float | None  # in the queue before it
    paused: Event | None  # before it waited
    resumed: Event | None

    @property
    def ending(self) -> Ending:
        return ENDINGS[self.kind]

    @property
    def first_step(self) -> int:
        return (self.resumed_step or 0) + 1

    @property
    def held_s(self) -> float | None:
        ended_at = self.attempt.ended_at
        return None if ended_at is None else (ended_at - self.attempt.assigned_at).total_seconds()

    @property
    def stopped_in_s(self) -> float | None:
        """From the wish to the devices' being free."""
        if self.asked is None or self.attempt.ended_at is None:
            return None
        return max(0.0, (self.attempt.ended_at - self.asked.at).total_seconds())

    @property
    def paused_s(self) -> float | None:
        if self.paused is None or self.resumed is None:
            return None
        return (self.resumed.at - self.paused.at).total_seconds()


def of(run: Run, job: Job, scope: Scope) -> list[Chapter]:
    """Newest first. A constant number of queries."""
    attempts = list(job.attempts.select_related("node").order_by("number"))
    events = list(job.events.filter(kind__startswith="job.").order_by("id"))
    steps = series.last_steps(run.id)
    wasted = dict(
        Charge.objects.filter(attempt__job=job).values_list("attempt").annotate(Sum("wasted_device_s"))
    )
    victims = list(job.preemptions.order_by("id"))
    parties = _parties([a.preempted_by_id for a in attempts] + [a.job_id for a in victims], scope)
    return [
        Chapter(
            attempt=attempt,
            kind=_kind(attempt, events),
            resumed_step=step_of_checkpoint(attempt.resumed_from),
            last_step=_last_step(attempt, steps),
            lost_steps=_lost_steps(attempt, after, _last_step(attempt, steps)),
            wasted_device_s=wasted.get(attempt.id),
            asked=_asked(attempt, events),
            by=parties.get(attempt.preempted_by_id or ""),
            gave_way=_gave_way(victims, before, attempt, parties),
            **_between(events, before, attempt),
        )
        for before, attempt, after in zip([None, *attempts], attempts, [*attempts[1:], None], strict=False)
    ][::-1]


def names(chapters: Iterable[Chapter]) -> dict[int, str]:
    """What charts write at the border where each attempt begins."""
    in_order = sorted(chapters, key=lambda chapter: chapter.attempt.number)
    return {
        chapter.attempt.number: f"attempt {chapter.attempt.number}, {before.ending.after}".rstrip(", ")
        for before, chapter in itertools.pairwise(in_order)
    }


def _kind(attempt: Attempt, events: Sequence[Event]) -> str:
    if attempt.state in ATTEMPT_LIVE:
        return "live"
    if attempt.cause == Cause.TIME_LIMIT:
        return "late"
    if attempt.state != AttemptState.STOPPED:
        return OF_STATE[AttemptState(attempt.state)]
    became = [event.kind for event in events if event.attempt_number == attempt.number]
    if became and became[-1] in OF_JOB:
        return OF_JOB[became[-1]]
    if attempt.preempted_by_id:
        return "preempted"
    return "asked_back" if attempt.yield_reason else "interrupted"


def _asked(attempt: Attempt, events: Iterable[Event]) -> Event | None:
    """The last wish counts: a person may cancel what is being preempted."""
    wishes = [e for e in events if e.kind == "job.stopping" and e.attempt_number == attempt.number]
    return wishes[-1] if wishes else None


def _last_step(attempt: Attempt, steps: dict[int, int]) -> int | None:
    known = [step for step in (steps.get(attempt.number), attempt.checkpoint_step) if step is not None]
    return max(known, default=None)


def _lost_steps(attempt: Attempt, after: Attempt | None, last_step: int | None) -> int | None:
    """What the next attempt had to make again; before there is one, what no checkpoint holds."""
    if attempt.state in ATTEMPT_LIVE or last_step is None:
        return None
    if attempt.state == AttemptState.SUCCEEDED:
        return 0
    kept = attempt.checkpoint_step
    if after is not None and after.started_at is not None:
        kept = step_of_checkpoint(after.resumed_from)
    return max(0, last_step - (kept or 0))


def _gave_way(
    victims: Iterable[Attempt], before: Attempt | None, attempt: Attempt, parties: dict[str, Party]
) -> tuple[Party, ...]:
    """Those stopped in favour of this job between its last attempt and this one."""
    since: datetime | None = before.assigned_at if before else None
    mine = [v for v in victims if v.ended_at and v.ended_at <= attempt.assigned_at]
    return tuple(parties[v.job_id] for v in mine if since is None or (v.ended_at and v.ended_at > since))


def _between(events: Sequence[Event], before: Attempt | None, attempt: Attempt) -> dict[str, Any]:
    """What the job did from the end of the attempt before it."""
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


def _parties(jobs: Iterable[str | None], scope: Scope) -> dict[str, Party]:
    wanted = {job for job in jobs if job}
    seen = {run.job_id: run for run in scope.seen(Run).filter(job__in=wanted)} if wanted else {}
    return {job: Party(job, seen.get(job)) for job in wanted}
