"""Changes of runs that Fourwalls did not launch, with their events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from engine.request_limits import KEY_CHARS, MISSING_SOURCES, RUN_NAME_CHARS, TAG_CHARS
from jobs import series
from jobs.ids import new_id
from jobs.models import Project, Run, RunEvent, RunInput, RunTag, Stream, Team
from jobs.series import idempotent_append
from jobs.states.jobs import FINAL, JobState
from jobs.tracking import projects
from jobs.tracking.params import store as store_params

TRACKED_STATES = (JobState.QUEUED, JobState.RUNNING, *FINAL)  # states that the writer of a run may set

TOUCH_EVERY = timedelta(seconds=2)
LOST = "run.lost"  # the event of a run whose writer stopped sending
LOST_A_CALL = 100


class TrackingError(ValueError):
    """A change that is refused; the message names it and the reason."""


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
    external_id: str = "",
    note: str = "",
) -> Run:
    """A running run without a job. `run_id`: an id that its writer has drawn; `external_id`: one that it made up."""
    if any("\0" in text for text in (name, note, origin)):
        raise TrackingError("A NUL character cannot be kept. Leave it out.")
    with transaction.atomic():
        now = timezone.now()
        run = Run.objects.create(
            id=run_id or new_id(),
            external_id=external_id,
            note=note,
            team=team,
            owner=owner,
            name=name[:RUN_NAME_CHARS],
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
    """A run with its parameters in the named project, which is created if the team has none; '': without a project.
    Raises TrackingError, ParamError."""
    with transaction.atomic():
        try:
            home = projects.get_or_create(team, project) if project else None
        except projects.ProjectError as error:
            raise TrackingError(str(error)) from None
        run = create(team=team, owner=owner, project=home, run_id=run_id, **fields)
        store_params(run, params)
    return run


def set_state(run: Run, state: str, *, actor: str, ended_at: datetime | None = None) -> None:
    """Set the state that the writer reports. Raises TrackingError for a job's run, which has the state of its job."""
    if run.job_id is not None:
        raise TrackingError(f"Run {run.id} belongs to a job; only the queue changes its state.")
    if state not in TRACKED_STATES:
        raise TrackingError(f"'{state}' is not a state of a run. Use one of {', '.join(TRACKED_STATES)}.")
    ended = (ended_at or timezone.now()) if state in FINAL else None
    with transaction.atomic():
        moved = Run.objects.filter(id=run.id).exclude(state=state)
        if moved.update(state=state, ended_at=ended, last_seen_at=timezone.now()):
            _record_event(run, actor, state)
        elif ended_at is not None:
            Run.objects.filter(id=run.id).update(ended_at=ended_at)
        if state in FINAL:
            _close_series(run)
    run.state, run.ended_at = state, ended


def set_parent(run: Run, parent: Run, *, actor: str) -> None:
    """Nest a run under another one of its team. Raises TrackingError for a cycle."""
    above: Run | None = parent
    while above is not None:
        if above.id == run.id:
            raise TrackingError(
                f"Run {parent.id} is nested under run {run.id}; the reverse would be a cycle."
            )
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
            _reopen(run)


def fail_silent_runs() -> int:
    """Fail running runs whose writers have sent nothing for FOURWALLS_SILENT_RUN_LIMIT_S (0: never). Such a run ends at
    its last sign of life, with an event that gives the reason. Returns the number of runs."""
    limit_s = settings.SILENT_RUN_LIMIT_S
    if limit_s == 0:
        return 0
    since = timezone.now() - timedelta(seconds=limit_s)
    silent = Run.objects.filter(job=None, state=JobState.RUNNING, last_seen_at__lt=since)
    return sum(_fail_silent(run, limit_s) for run in silent[:LOST_A_CALL])


@transaction.atomic
def _fail_silent(run: Run, limit_s: int) -> bool:
    unheard = Run.objects.filter(id=run.id, state=JobState.RUNNING, last_seen_at=run.last_seen_at)
    if not unheard.update(state=JobState.FAILED, ended_at=run.last_seen_at):
        return False
    reason = (
        f"Its writer sent nothing for {limit_s / 3600:g} h and did not report an end, so it counts as killed."
    )
    _record_event(run, "scheduler", LOST.removeprefix("run."), reason)
    _close_series(run)
    return True


def loss_reason(run: Run) -> str:
    """Why a failed run counts as killed; '' if its writer reported the failure."""
    events = RunEvent.objects.filter(run=run, kind__in=[LOST, *(f"run.{state}" for state in TRACKED_STATES)])
    newest = events.order_by("-id").first()
    return newest.text if newest and newest.kind == LOST else ""


def _reopen(run: Run) -> None:
    """Set a run that counted as killed back to running, because its writer has sent something."""
    with transaction.atomic():
        failed = Run.objects.filter(id=run.id, state=JobState.FAILED)
        if loss_reason(run) and failed.update(state=JobState.RUNNING, ended_at=None):
            _record_event(run, run.origin, JobState.RUNNING, "Its writer is sending again.")
            run.state, run.ended_at = JobState.RUNNING, None


def add_inputs(run: Run, inputs: Iterable[RunInput]) -> None:
    """Add data sets that the run reads; a known one (same name and digest) stays as it is."""
    rows = list(inputs)
    for row in rows:
        row.run = run
    RunInput.objects.bulk_create(rows, ignore_conflicts=True)


def set_missing(run: Run, source: str, missing: Mapping[str, list[str]]) -> None:
    """Set the readings that a source lacks: {metric: [status, reason]}. Raises TrackingError for too many sources."""
    with transaction.atomic():
        current = Run.objects.select_for_update().get(id=run.id)
        current.missing[source] = dict(missing)
        if broken := MISSING_SOURCES.error(len(current.missing)):
            raise TrackingError(broken)
        current.save(update_fields=["missing"])


def set_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Add tags to a run, replacing the values of existing ones. Raises TrackingError for an invalid tag."""
    for key, value in tags.items():
        check_tag(key, value)
    rows = [RunTag(run=run, key=key, value=value) for key, value in tags.items()]
    RunTag.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["run", "key"], update_fields=["value"]
    )


def check_tag(key: str, value: str) -> None:
    """Raises TrackingError for a tag that no row can hold."""
    if not key or len(key) > KEY_CHARS or len(value) > TAG_CHARS or "\0" in key + value:
        raise TrackingError(
            f"'{key[:50]}' is not a tag: a name has 1 to {KEY_CHARS} characters, a value at most {TAG_CHARS}, no NUL."
        )


def drop_tags(run: Run, keys: Iterable[str]) -> int:
    return RunTag.objects.filter(run=run, key__in=list(keys)).delete()[0]


def _close_series(run: Run) -> None:
    """Seal the series of a run that has ended. Later points are still accepted."""
    for attempt in set(Stream.objects.filter(run=run).values_list("attempt", flat=True)):
        series.close(run.id, attempt)
    idempotent_append.forget(run.id)


def _record_event(run: Run, actor: str, what: str, text: str = "") -> None:
    RunEvent.objects.create(run=run, actor=actor, kind=f"run.{what}", text=text)
