"""History of a run's attempts: how each ended, who stopped it, and what was lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Sum

from dashboard import access
from engine.directory import step_of_checkpoint
from jobs import series
from jobs.models import Attempt, Charge, Event, Job, Run
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, JobState


@dataclass(frozen=True)
class AttemptEnding:
    title: str
    tone: str
    icon: str
    next_label: str  # of the next attempt in charts


ENDINGS = {
    "live": AttemptEnding("Running", "busy", "play-fill", ""),
    "succeeded": AttemptEnding("Finished", "good", "check-circle-fill", "after its end"),
    "late": AttemptEnding("Time limit", "good", "clock", "after its time limit"),
    "preempted": AttemptEnding("Preempted", "warn", "chevron-double-down", "after a preemption"),
    "reclaimed": AttemptEnding(
        "Devices reclaimed", "warn", "box-arrow-right", "after its devices were reclaimed"
    ),
    "paused": AttemptEnding("Paused", "warn", "pause-fill", "after a pause"),
    "cancelled": AttemptEnding("Cancelled", "calm", "slash-circle", "after a cancel"),
    "lost": AttemptEnding("Node lost", "bad", "eye-slash", "after a lost node"),
    "failed": AttemptEnding("Failed", "bad", "exclamation-circle-fill", "after a failure"),
    "interrupted": AttemptEnding("Interrupted", "warn", "lightning-charge", "after an interruption"),
}
ENDING_BY_STATE = {
    AttemptState.SUCCEEDED: "succeeded",
    AttemptState.LOST: "lost",
    AttemptState.FAILED: "failed",
}
ENDING_BY_EVENT = {"job.paused": "paused", "job.cancelled": "cancelled"}


@dataclass(frozen=True)
class RelatedJob:
    """A job that preempted this one or was stopped for it. `run` is None if the user may not see it."""

    id: str
    run: Run | None


@dataclass(frozen=True)
class AttemptSummary:
    attempt: Attempt
    kind: str  # key of ENDINGS
    resumed_step: int | None  # None: started at the first step
    last_step: int | None  # None: no step is known
    lost_steps: int | None  # run, but in no checkpoint that was used; None: not known, or not ended
    wasted_device_s: float | None
    stop_event: Event | None  # who stopped it, and why
    preempted_by: RelatedJob | None
    victims: tuple[RelatedJob, ...]  # jobs that were stopped for this attempt
    waited_s: float | None  # in the queue before it
    paused: Event | None  # before it waited
    resumed: Event | None

    @property
    def ending(self) -> AttemptEnding:
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
        """Time from the request to stop until the devices were free."""
        if self.stop_event is None or self.attempt.ended_at is None:
            return None
        return max(0.0, (self.attempt.ended_at - self.stop_event.at).total_seconds())

    @property
    def paused_s(self) -> float | None:
        if self.paused is None or self.resumed is None:
            return None
        return (self.resumed.at - self.paused.at).total_seconds()


def list_attempts(run: Run, job: Job, user: User) -> list[AttemptSummary]:
    """Return the attempts of a job, newest first. The number of queries is constant."""
    attempts = list(job.attempts.select_related("node").order_by("number"))
    events = list(job.events.filter(kind__startswith="job.").order_by("id"))
    steps = series.last_steps(run.id)
    wasted = dict(
        Charge.objects.filter(attempt__job=job).values_list("attempt").annotate(Sum("wasted_device_s"))
    )
    victims = list(job.preemptions.order_by("id"))
    related = _get_related_jobs([a.preempted_by_id for a in attempts] + [a.job_id for a in victims], user)
    return [
        AttemptSummary(
            attempt=attempt,
            kind=_classify_ending(attempt, events),
            resumed_step=step_of_checkpoint(attempt.resumed_from),
            last_step=_last_step(attempt, steps),
            lost_steps=_lost_steps(attempt, after, _last_step(attempt, steps)),
            wasted_device_s=wasted.get(attempt.id),
            stop_event=_find_stop_event(attempt, events),
            preempted_by=related.get(attempt.preempted_by_id or ""),
            victims=_select_victims(victims, before, attempt, related),
            **_describe_gap(events, before, attempt),
        )
        for before, attempt, after in zip([None, *attempts], attempts, [*attempts[1:], None], strict=False)
    ][::-1]


def build_boundary_labels(summaries: Iterable[AttemptSummary]) -> dict[int, str]:
    """Return attempt number -> label that charts show where the attempt starts."""
    in_order = sorted(summaries, key=lambda summary: summary.attempt.number)
    return {
        summary.attempt.number: f"attempt {summary.attempt.number}, {before.ending.next_label}".rstrip(", ")
        for before, summary in itertools.pairwise(in_order)
    }


def _classify_ending(attempt: Attempt, events: Sequence[Event]) -> str:
    if attempt.state in ATTEMPT_LIVE:
        return "live"
    if attempt.cause == Cause.TIME_LIMIT:
        return "late"
    if attempt.state != AttemptState.STOPPED:
        return ENDING_BY_STATE[AttemptState(attempt.state)]
    kinds = [event.kind for event in events if event.attempt_number == attempt.number]
    if kinds and kinds[-1] in ENDING_BY_EVENT:
        return ENDING_BY_EVENT[kinds[-1]]
    if attempt.preempted_by_id:
        return "preempted"
    return "reclaimed" if attempt.yield_reason else "interrupted"


def _find_stop_event(attempt: Attempt, events: Iterable[Event]) -> Event | None:
    """Return the last request to stop: a user may cancel a job that is being preempted."""
    found = [e for e in events if e.kind == "job.stopping" and e.attempt_number == attempt.number]
    return found[-1] if found else None


def _last_step(attempt: Attempt, steps: dict[int, int]) -> int | None:
    known = [step for step in (steps.get(attempt.number), attempt.checkpoint_step) if step is not None]
    return max(known, default=None)


def _lost_steps(attempt: Attempt, after: Attempt | None, last_step: int | None) -> int | None:
    """Return the steps that the next attempt had to repeat; without a next attempt, the steps in no checkpoint."""
    if attempt.state in ATTEMPT_LIVE or last_step is None:
        return None
    if attempt.state == AttemptState.SUCCEEDED:
        return 0
    saved_step = attempt.checkpoint_step
    if after is not None and after.started_at is not None:
        saved_step = step_of_checkpoint(after.resumed_from)
    return max(0, last_step - (saved_step or 0))


def _select_victims(
    victims: Iterable[Attempt], before: Attempt | None, attempt: Attempt, related: dict[str, RelatedJob]
) -> tuple[RelatedJob, ...]:
    """Return the jobs that were stopped for this job between its previous attempt and this one."""
    since: datetime | None = before.assigned_at if before else None
    ended = [v for v in victims if v.ended_at and v.ended_at <= attempt.assigned_at]
    return tuple(related[v.job_id] for v in ended if since is None or (v.ended_at and v.ended_at > since))


def _describe_gap(events: Sequence[Event], before: Attempt | None, attempt: Attempt) -> dict[str, Any]:
    """Return waiting time and pause between the previous attempt and this one."""
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


def _get_related_jobs(jobs: Iterable[str | None], user: User) -> dict[str, RelatedJob]:
    ids = {job for job in jobs if job}
    visible = {run.job_id: run for run in access.runs_of(user).filter(job__in=ids)} if ids else {}
    return {job: RelatedJob(job, visible.get(job)) for job in ids}
