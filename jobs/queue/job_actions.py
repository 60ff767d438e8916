"""Actions on jobs: submit, cancel, pause, resume and retry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.fixes import with_accepted_fixes
from engine.spec.spec import Problem, Spec, SpecError
from jobs import datasets
from jobs.lifecycle import stopping
from jobs.lifecycle.transitions import move_job
from jobs.models import Device, Event, Job, Membership, Pool, Priority, Run, Sweep, Team, Template
from jobs.models.people import Role
from jobs.planning import plans
from jobs.pools import pool_settings
from jobs.queue import initial_weights, start_times
from jobs.states.jobs import FINAL, JobState, StateError
from jobs.tracking import params

CONFLICTS_LIMIT = 5  # an action gives up after so many concurrent state changes


def submit(
    *,
    spec: Spec,
    team: Team,
    owner: User,
    actor: str | None = None,
    cloned_from: Run | None = None,
    template: Template | None = None,
    sweep: Sweep | None = None,
    sweep_number: int | None = None,
    halt_at_step: int | None = None,
) -> Job:
    """Create a queued job and its run in the spec's pool.

    `cloned_from`, `template` and `sweep` record where the spec comes from. After `halt_at_step` the job is
    paused until it is resumed. Raises SpecError with every problem of the spec.
    """
    pool = check(spec, team)
    refuse_priority(spec, team, owner)
    spec = pool_settings.with_pool_defaults(spec, pool)
    initial = initial_weights.find(spec, team)
    if initial is not None:
        spec = spec.model_copy(update={"start_from": initial.text})
    plan, values = plans.build_plan(spec, pool), spec.model_dump()
    with transaction.atomic():
        job = Job.objects.create(
            team=team,
            owner=owner,
            pool=pool,
            name=spec.name,
            spec=values,
            plan=plan,
            num_devices=spec.parallel.world_size,
            num_steps=spec.num_steps,
            time_limit_s=spec.budget.limit_s,
            priority=Priority[spec.priority.upper()],
            is_preemptible=spec.preemptible,
            cloned_from=cloned_from,
            start_checkpoint=initial.checkpoint if initial else None,
            template=template,
            sweep=sweep,
            sweep_number=sweep_number,
            halt_at_step=halt_at_step,
            **({} if sweep else start_times.duration_columns(spec, plan, pool)),
        )
        run = Run.objects.create(job=job, team=team, owner=owner, name=spec.name, spec=values, plan=plan)
        params.store(run, params.from_spec(values))
        _record_submit(job, actor or owner.get_username())
        initial_weights.hold_checkpoint(job)
    return job


def _record_submit(job: Job, actor: str) -> None:
    Event.objects.create(job=job, actor=actor, kind=f"job.{JobState.QUEUED}")
    if warning := start_times.check_job_limit(job, None):
        Event.objects.create(job=job, actor="scheduler", kind="note.warning", text=warning.sentence)


def check(spec: Spec, team: Team | None = None, *, has_started: bool = False) -> Pool:
    """Return the pool that would run `spec` for `team`.

    Raises SpecError with every problem, each at its field. Without a team, only problems that hold for every
    team are found. A job that `has_started` no longer needs its initial weights.
    """
    from engine.data import (
        corpora,
        prepare,
    )  # imports the tokeniser library, which readers of the queue do not need

    problems: list[Problem] = []
    pool: Pool | None = None
    hardware: Hardware | None = None
    try:
        pool = _open_pool(spec.pool)
        problems += pool_settings.problems(spec, pool, team)
        hardware = hardware_of(pool)
    except SpecError as error:
        problems += error.problems
    try:
        refuse_impossible(spec, hardware)
    except SpecError as error:
        problems += error.problems
    try:
        if team is not None:
            datasets.refuse_unusable(spec, team)
        corpora.check_corpus(spec.data.corpus, settings.CORPUS_ROOT, spec.data.objective, spec.model.classes)
        prepare.check_tokenizer(spec.data, Path(settings.CORPUS_ROOT))
    except SpecError as error:
        problems += error.problems
    if team is not None and not has_started:
        problems += initial_weights.problems(spec, team)
    if problems or pool is None:
        raise SpecError(with_accepted_fixes(spec, problems, hardware))
    return pool


def hardware_of(pool: Pool) -> Hardware:
    """The hardware that every job of the pool can count on.

    This is the weakest kind of device, since a job may land on any node, and the largest gang the pool can
    hold. Raises SpecError if the pool has no device.
    """
    rows = list(
        Device.objects.filter(node__pool=pool, is_present=True)
        .order_by()
        .values("node_id", "kind")
        .annotate(count=Count("id"))
    )
    if not rows:
        raise SpecError(
            [
                Problem(
                    "pool",
                    f"Pool '{pool.name}' has no node yet. Start an agent for it, or choose another pool.",
                )
            ]
        )
    kind = "cpu" if any(row["kind"] == "cpu" for row in rows) else "cuda"
    counts = [row["count"] for row in rows]
    limit = sum(counts) if pool.allows_several_nodes else max(counts)
    return Hardware(kind=kind, gang_limit=limit, spans_nodes=pool.allows_several_nodes)


def refuse_priority(spec: Spec, team: Team, owner: User) -> None:
    """Raise SpecError for priority high unless `owner` is a lead or an admin: high goes before other teams."""
    if spec.priority != "high" or owner.is_staff:
        return
    if not Membership.objects.filter(user=owner, team=team, role=Role.LEAD).exists():
        message = f"Priority 'high' is for leads of team {team.name} and admins. Ask one of them or choose 'normal'."
        raise SpecError([Problem("priority", message, {"priority": "normal"})])


def cancel(job: Job, actor: str, reason: str = "") -> Job:
    """Cancel a job at once if it does not run, else request a stop at a step boundary.

    Returns the current job. Raises StateError if the job has ended.
    """
    text = reason or f"Cancelled by {actor}."

    def try_cancel(current: Job) -> bool:
        _refuse_ended(current, "cancel")
        return current.wanted_state == JobState.CANCELLED or stopping.stop(
            current, JobState.CANCELLED, actor, text
        )

    return _retry_on_conflict(job, try_cancel, "cancelled")


def pause(job: Job, actor: str, reason: str = "") -> Job:
    """Pause a job at once if it waits, else at a step boundary with a checkpoint, until it is resumed.

    Its devices are released and no retry is counted. Raises StateError if the job has ended or is being
    cancelled.
    """
    text = reason or f"Paused by {actor}."

    def try_pause(current: Job) -> bool:
        _refuse_ended(current, "pause")
        if current.wanted_state == JobState.CANCELLED:
            raise StateError(f"Job {job.id} is being cancelled; there is nothing to pause.")
        return JobState.PAUSED in (current.state, current.wanted_state) or stopping.stop(
            current, JobState.PAUSED, actor, text
        )

    return _retry_on_conflict(job, try_pause, "paused")


def resume(job: Job, actor: str) -> Job:
    """Queue a paused job again, behind the jobs that already wait; it continues from its newest checkpoint.

    A job that is still stopping waits instead of being paused. A job that halted at a step does not halt
    there again. Raises StateError for any other state.
    """

    def try_resume(current: Job) -> bool:
        if current.state == JobState.STOPPING and current.wanted_state == JobState.PAUSED:
            return stopping.set_target_state(current, "", actor, f"Resumed by {actor} before it had stopped.")
        if current.state != JobState.PAUSED:
            raise StateError(f"Job {job.id} is {current.state}; only a paused job can be resumed.")
        return move_job(
            job.id, JobState.QUEUED, actor=actor, reason=f"Resumed by {actor}.",
            only_from=(JobState.PAUSED,), queue_key=timezone.now(),
            **({"halt_at_step": None} if current.has_halted else {}),
        )  # fmt: skip

    return _retry_on_conflict(job, try_resume, "resumed")


def retry(job: Job, actor: str) -> Job:
    """Queue a failed or cancelled job again; it continues from the newest checkpoint of its attempts.

    Raises StateError for any other state, and if the job never started and its initial checkpoint has been
    deleted.
    """
    initial_weights.refuse_deleted(job)
    moved = move_job(
        job.id,
        JobState.QUEUED,
        actor=actor,
        only_from=(JobState.FAILED, JobState.CANCELLED),
        reason=f"Retried by {actor}.",
    )
    current = Job.objects.get(id=job.id)
    if not moved:
        raise StateError(
            f"Job {job.id} is {current.state}; only a failed or cancelled job can be retried."
            if current.state != JobState.SUCCEEDED
            else f"Job {job.id} has succeeded; submit its spec again to run it once more."
        )
    return current


def _retry_on_conflict(job: Job, action: Callable[[Job], bool], participle: str) -> Job:
    """Repeat the action on the current job until no one else changes the job in between; return the current job."""
    for _ in range(CONFLICTS_LIMIT):
        if action(Job.objects.get(id=job.id)):
            return Job.objects.get(id=job.id)
    raise StateError(f"Job {job.id} was not {participle}: its state kept changing. Try again.")


def _open_pool(name: str) -> Pool:
    pool = Pool.objects.filter(name=name).first()
    if pool is None:
        known = list(Pool.objects.order_by("name").values_list("name", flat=True)[:20])
        hint = f"Known pools: {', '.join(known)}." if known else "No pool exists yet: start an agent first."
        raise SpecError(
            [Problem("pool", f"Pool '{name}' does not exist. {hint}", {"pool": known[0]} if known else {})]
        )
    if not pool.is_open:
        raise SpecError(
            [Problem("pool", f"Pool '{name}' is closed and accepts no new jobs. Choose another pool.")]
        )
    return pool


def _refuse_ended(job: Job, verb: str) -> None:
    if job.state not in FINAL:
        return
    ended = {JobState.CANCELLED: "been cancelled"}.get(JobState(job.state), job.state)
    raise StateError(f"Job {job.id} has already {ended}; there is nothing to {verb}.")
