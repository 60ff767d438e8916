"""Runs that Fourwalls did not launch, and the events of their writers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from jobs import series
from jobs.ids import new_id
from jobs.models import Project, Run, RunEvent, RunInput, RunTag, Stream, Team
from jobs.models.runs import KEY_LIMIT, TAG_LIMIT
from jobs.series import unnumbered
from jobs.states.jobs import FINAL, JobState
from jobs.tracking.params import store as store_params

TRACKED_STATES = (JobState.QUEUED, JobState.RUNNING, *FINAL)  # what the writer of a run may say of it

TOUCH_EVERY = timedelta(seconds=2)
LOST = "run.lost"  # the event of a run that was taken for killed
LOST_AT_ONCE = 100
SOURCES_LIMIT = 1000


class TrackingError(ValueError):
    """A wish that cannot be met; the message says which and why."""


def create(
    *,
    team: Team,
    owner: User,
    name: str,
    origin: str,
    project: Project | None = None,
    parent: Run | None = None,
    started_at: datetime | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
    note: str = "",
) -> Run:
    """A run without a job, running from now on unless told otherwise. `run_id`: one that its writer has chosen."""
    with transaction.atomic():
        now = timezone.now()
        run = Run.objects.create(
            id=run_id or new_id(),
            note=note,
            team=team,
            owner=owner,
            name=name[:250],
            project=project,
            parent=parent,
            origin=origin,
            state=JobState.RUNNING,
            started_at=started_at or now,
            last_seen_at=now,
        )
        set_tags(run, tags or {})
        _record_event(run, owner.get_username(), "created", f"Logged by {origin}.")
    return run


def begin(
    *,
    team: Team,
    owner: User,
    project: str,
    params: Mapping[str, str],
    run_id: str | None = None,
    **fields: Any,
) -> Run:
    """A run with its parameters, in the project of that name, which is made where the team has none; '': in none.
    Raises TrackingError, ParamError."""
    with transaction.atomic():
        home = Project.objects.get_or_create(team=team, name=project)[0] if project else None
        run = create(team=team, owner=owner, project=home, run_id=run_id, **fields)
        store_params(run, params)
    return run


def set_state(run: Run, state: str, *, actor: str, ended_at: datetime | None = None) -> None:
    """What its writer says of a run. Raises TrackingError for a job's run: its job tells how that stands."""
    if run.job_id is not None:
        raise TrackingError(f"Run {run.id} belongs to a job, whose state the queue alone changes.")
    if state not in TRACKED_STATES:
        raise TrackingError(f"'{state}' is no state of a run. Use one of {', '.join(TRACKED_STATES)}.")
    ended = (ended_at or timezone.now()) if state in FINAL else None
    with transaction.atomic():
        moved = Run.objects.filter(id=run.id).exclude(state=state)
        if moved.update(state=state, ended_at=ended, last_seen_at=timezone.now()):
            _record_event(run, actor, state)
        elif ended_at is not None:
            Run.objects.filter(id=run.id).update(ended_at=ended_at)
        if state in FINAL:
            _settle(run)
    run.state, run.ended_at = state, ended


def set_parent(run: Run, parent: Run, *, actor: str) -> None:
    """Hang a run under another of its team. Raises TrackingError where that would be a circle."""
    above: Run | None = parent
    while above is not None:
        if above.id == run.id:
            raise TrackingError(f"Run {parent.id} is itself under run {run.id}, which cannot be under it.")
        above = above.parent
    with transaction.atomic():
        if Run.objects.filter(id=run.id).exclude(parent=parent).update(parent=parent):
            _record_event(run, actor, "parent", f"Under run {parent.id}.")
    run.parent = parent


def touch(run: Run) -> None:
    """Record that the writer is alive, with at most one write per TOUCH_EVERY."""
    now = timezone.now()
    if run.last_seen_at is None or now - run.last_seen_at > TOUCH_EVERY:
        Run.objects.filter(id=run.id).update(last_seen_at=now)
        run.last_seen_at = now
        if run.state == JobState.FAILED:
            _go_on_after_all(run)


def end_silent() -> int:
    """Fail runs that claim to run but have been silent for FOURWALLS_SILENT_RUN_LIMIT_S (0: never).

    Such a run ended when it was last seen; its event gives the reason. Returns the number of runs.
    """
    limit_s = settings.SILENT_RUN_LIMIT_S
    if limit_s == 0:
        return 0
    since = timezone.now() - timedelta(seconds=limit_s)
    silent = Run.objects.filter(job=None, state=JobState.RUNNING, last_seen_at__lt=since)
    return sum(_lose(run, limit_s) for run in silent[:LOST_AT_ONCE])


@transaction.atomic
def _lose(run: Run, limit_s: int) -> bool:
    unheard = Run.objects.filter(id=run.id, state=JobState.RUNNING, last_seen_at=run.last_seen_at)
    if not unheard.update(state=JobState.FAILED, ended_at=run.last_seen_at):
        return False
    reason = f"Its writer said nothing for {limit_s / 3600:g} h and never said that it had ended: taken for killed."
    _record_event(run, "scheduler", LOST.removeprefix("run."), reason)
    _settle(run)
    return True


def lost_because(run: Run) -> str:
    """Why a run that has failed was taken for killed; '' where its writer has said that it failed."""
    said = RunEvent.objects.filter(run=run, kind__in=[LOST, *(f"run.{state}" for state in TRACKED_STATES)])
    newest = said.order_by("-id").first()
    return newest.text if newest and newest.kind == LOST else ""


def _go_on_after_all(run: Run) -> None:
    """It was taken for killed, and its writer speaks."""
    with transaction.atomic():
        failed = Run.objects.filter(id=run.id, state=JobState.FAILED)
        if lost_because(run) and failed.update(state=JobState.RUNNING, ended_at=None):
            _record_event(run, run.origin, JobState.RUNNING, "Its writer has spoken again.")
            run.state, run.ended_at = JobState.RUNNING, None


def add_inputs(run: Run, inputs: Iterable[RunInput]) -> None:
    """Data sets that the run read; one that is known by name and digest stays as it is."""
    rows = list(inputs)
    for row in rows:
        row.run = run
    RunInput.objects.bulk_create(rows, ignore_conflicts=True)


def set_missing(run: Run, source: str, missing: Mapping[str, list[str]]) -> None:
    """The readings that a source cannot have: {metric: [status, reason]}. Raises TrackingError for too many sources."""
    with transaction.atomic():
        current = Run.objects.select_for_update().get(id=run.id)
        current.missing[source] = dict(missing)
        if len(current.missing) > SOURCES_LIMIT:
            raise TrackingError(
                f"Run {run.id} has {SOURCES_LIMIT} sources with missing readings; no more are kept."
            )
        current.save(update_fields=["missing"])


def set_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Put tags on a run; a tag that is there takes the new value. Raises TrackingError for what no row could hold."""
    for key, value in tags.items():
        check_tag(key, value)
    rows = [RunTag(run=run, key=key, value=value) for key, value in tags.items()]
    RunTag.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["run", "key"], update_fields=["value"]
    )


def check_tag(key: str, value: str) -> None:
    """Raises TrackingError for what no row could hold."""
    if not key or len(key) > KEY_LIMIT or len(value) > TAG_LIMIT or "\0" in key + value:
        raise TrackingError(
            f"'{key[:50]}' is no tag: a name has 1 to {KEY_LIMIT} characters, a value at most {TAG_LIMIT}, no NUL."
        )


def drop_tags(run: Run, keys: Iterable[str]) -> int:
    return RunTag.objects.filter(run=run, key__in=list(keys)).delete()[0]


def _settle(run: Run) -> None:
    """The series of a run that has ended, as small and as quick to read as they get. Later points are still taken."""
    for attempt in set(Stream.objects.filter(run=run).values_list("attempt", flat=True)):
        series.close(run.id, attempt)
    unnumbered.forget(run.id)


def _record_event(run: Run, actor: str, what: str, text: str = "") -> None:
    RunEvent.objects.create(run=run, actor=actor, kind=f"run.{what}", text=text)
