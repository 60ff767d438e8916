"""Actions on jobs: submit, cancel, pause, resume and retry."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.spec import Problem, Spec, SpecError
from jobs import datasets
from jobs.lifecycle import stopping
from jobs.lifecycle.transitions import move_job
from jobs.models import Device, Event, Job, Membership, Pool, Priority, Run, Sweep, Team, Template
from jobs.models.people import Role
from jobs.planning import plans
from jobs.pools import pool_settings
from jobs.queue import initial_weights
from jobs.states.jobs import FINAL, JobState, StateError
from jobs.tracking import params

RACES_LIMIT = 5  # a job that moves more often than this while one request looks at it is not worth chasing


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
    """A new job in its pool's queue, with its run; `cloned_from`, `template` and `sweep` say where its spec comes
    from. After `halt_at_step` it is paused until somebody resumes it. Raises SpecError with every reason against it."""
    pool = check(spec, team)
    refuse_priority(spec, team, owner)
    spec = pool_settings.complete(spec, pool)
    begun = initial_weights.find(spec, team, pool)
    if begun is not None:
        spec = spec.model_copy(update={"start_from": begun.text})
    plan = plans.plan_of(spec, pool)
    values = spec.model_dump()
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
            start_checkpoint=begun.checkpoint if begun else None,
            template=template,
            sweep=sweep,
            sweep_number=sweep_number,
            halt_at_step=halt_at_step,
        )
        run = Run.objects.create(job=job, team=team, owner=owner, name=spec.name, spec=values, plan=plan)
        params.store(run, params.from_spec(values))
        Event.objects.create(job=job, actor=actor or owner.get_username(), kind=f"job.{JobState.QUEUED}")
        initial_weights.hold(job)
    return job


def check(spec: Spec, team: Team | None = None, *, is_begun: bool = False) -> Pool:
    """The pool that would run `spec` for `team`. Raises SpecError with all that stands against it, each with its
    field; without a team, all that holds for every team. A job that has begun has its first weights behind it."""
    from engine.data import corpora  # imports the tokeniser's library, which readers of the queue do not need

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
    except SpecError as error:
        problems += error.problems
    if team is not None and not is_begun:
        problems += initial_weights.problems(spec, team, pool)
    if problems or pool is None:
        raise SpecError(problems)
    return pool


def hardware_of(pool: Pool) -> Hardware:
    """What the rules may count on: the weakest kind of device in the pool (a job may land on any node) and the
    largest gang it can hold. Raises SpecError while the pool has no device."""
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
    """High goes before everybody's normal jobs, so a team's lead or an admin answers for it. Raises SpecError."""
    if spec.priority != "high" or owner.is_staff:
        return
    if not Membership.objects.filter(user=owner, team=team, role=Role.LEAD).exists():
        said = f"'high' is for leads of team {team.name} and admins. Ask one of them, or choose normal."
        raise SpecError([Problem("priority", said, {"priority": "normal"})])


def cancel(job: Job, actor: str, reason: str = "") -> Job:
    """Cancelled at once while nothing runs, else asked to stop at a step border. Raises StateError when the job has
    ended. Returns the job as it is now."""
    said = reason or f"Cancelled by {actor}."

    def attempt(current: Job) -> bool:
        _refuse_ended(current, "cancel")
        return current.wanted_state == JobState.CANCELLED or stopping.stop(
            current, JobState.CANCELLED, actor, said
        )

    return _settled(job, attempt, "cancelled")


def pause(job: Job, actor: str, reason: str = "") -> Job:
    """Set aside until somebody resumes it: at once while it waits, else at a step border, with a checkpoint; its
    devices are given back and no retry is counted. Raises StateError when it has ended or is being cancelled."""
    said = reason or f"Paused by {actor}."

    def attempt(current: Job) -> bool:
        _refuse_ended(current, "pause")
        if current.wanted_state == JobState.CANCELLED:
            raise StateError(f"Job {job.id} is being cancelled; there is nothing to pause.")
        return JobState.PAUSED in (current.state, current.wanted_state) or stopping.stop(
            current, JobState.PAUSED, actor, said
        )

    return _settled(job, attempt, "paused")


def resume(job: Job, actor: str) -> Job:
    """A paused job waits again, behind those that waited meanwhile, and goes on from its newest checkpoint; one that
    still stops will wait instead of being paused. Where it was to halt it does not halt again. Raises StateError for
    any other."""

    def attempt(current: Job) -> bool:
        if current.state == JobState.STOPPING and current.wanted_state == JobState.PAUSED:
            return stopping.rewish(current, "", actor, f"Resumed by {actor} before it had stopped.")
        if current.state != JobState.PAUSED:
            raise StateError(f"Job {job.id} is {current.state}; only a paused job can be resumed.")
        return move_job(
            job.id, JobState.QUEUED, actor=actor, reason=f"Resumed by {actor}.",
            only_from=(JobState.PAUSED,), queue_key=timezone.now(),
            **({"halt_at_step": None} if current.has_halted else {}),
        )  # fmt: skip

    return _settled(job, attempt, "resumed")


def retry(job: Job, actor: str) -> Job:
    """A failed or cancelled job waits again, and goes on from the newest checkpoint of its attempts. Raises StateError
    for any other, and where it never began and what it starts from has gone."""
    initial_weights.refuse_gone(job)
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


def _settled(job: Job, attempt: Callable[[Job], bool], wish: str) -> Job:
    """Tries from what the job is now until nobody else has changed it in between; returns it as it is then."""
    for _ in range(RACES_LIMIT):
        if attempt(Job.objects.get(id=job.id)):
            return Job.objects.get(id=job.id)
    raise StateError(f"Job {job.id} changes its state too fast to be {wish} just now. Try again.")


def _open_pool(name: str) -> Pool:
    pool = Pool.objects.filter(name=name).first()
    if pool is None:
        known = list(Pool.objects.order_by("name").values_list("name", flat=True)[:20])
        hint = f"Known: {', '.join(known)}." if known else "There is none yet: start an agent first."
        raise SpecError(
            [Problem("pool", f"There is no pool '{name}'. {hint}", {"pool": known[0]} if known else {})]
        )
    if not pool.is_open:
        raise SpecError(
            [Problem("pool", f"Pool '{name}' is closed: it takes no new jobs. Choose another one.")]
        )
    return pool


def _refuse_ended(job: Job, wish: str) -> None:
    if job.state not in FINAL:
        return
    ended = {JobState.CANCELLED: "been cancelled"}.get(JobState(job.state), job.state)
    raise StateError(f"Job {job.id} has already {ended}; there is nothing to {wish}.")
