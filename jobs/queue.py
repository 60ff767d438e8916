"""The only door for people's wishes: submit, cancel and retry a job."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count

from engine import planner
from engine.checks import Hardware, refuse_impossible
from engine.spec import Problem, Spec, SpecError
from jobs.models import Attempt, Device, Event, Job, Membership, Pool, Priority, Run, Team
from jobs.models.people import Role
from jobs.states import ATTEMPT_LIVE, FINAL, AttemptState, Cause, JobState, StateError, move_attempt, move_job

RACES_LIMIT = 5  # a job that moves more often than this while one request looks at it is not worth chasing


def submit(*, spec: Spec, team: Team, owner: User, actor: str | None = None) -> Job:
    """A new job in its pool's queue, with its run. Raises SpecError with every reason against it."""
    pool = check(spec)
    _refuse_priority(spec, team, owner)
    plan = planner.plan(spec).to_json()
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
            num_steps=spec.budget.steps,
            time_limit_s=spec.budget.time_limit_s,
            priority=Priority[spec.priority.upper()],
            is_preemptible=spec.preemptible,
        )
        Run.objects.create(job=job, team=team, owner=owner, name=spec.name, spec=values, plan=plan)
        Event.objects.create(job=job, actor=actor or owner.get_username(), kind=f"job.{JobState.QUEUED}")
    return job


def check(spec: Spec) -> Pool:
    """The pool that would run `spec`. Raises SpecError with all that stands against it, each with its field."""
    from engine.data import corpora  # imports the tokeniser's library, which readers of the queue do not need

    problems: list[Problem] = []
    pool: Pool | None = None
    hardware: Hardware | None = None
    try:
        pool = _open_pool(spec.pool)
        hardware = hardware_of(pool)
    except SpecError as error:
        problems += error.problems
    try:
        refuse_impossible(spec, hardware)
    except SpecError as error:
        problems += error.problems
    try:
        corpora.check_corpus(spec.data.corpus, settings.CORPUS_ROOT)
    except SpecError as error:
        problems += error.problems
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


def _refuse_priority(spec: Spec, team: Team, owner: User) -> None:
    """High goes before everybody's normal jobs, so a team's lead or an admin answers for it. Raises SpecError."""
    if spec.priority != "high" or owner.is_staff:
        return
    if not Membership.objects.filter(user=owner, team=team, role=Role.LEAD).exists():
        said = f"'high' is for leads of team {team.name} and admins. Ask one of them, or choose normal."
        raise SpecError([Problem("priority", said, {"priority": "normal"})])


def cancel(job: Job, actor: str, reason: str = "") -> Job:
    """Cancelled at once while nothing runs yet, else asked to stop at a step border. Raises StateError when the
    job has ended. Returns the job as it is now."""
    said = reason or f"Cancelled by {actor}."
    for _ in range(RACES_LIMIT):
        current = Job.objects.get(id=job.id)
        if current.state in FINAL:
            raise StateError(f"Job {job.id} has already {_ended(current.state)}; there is nothing to cancel.")
        if current.wants_stop or _try_cancel(current, actor, said):
            return Job.objects.get(id=job.id)
    raise StateError(f"Job {job.id} changes its state too fast to be cancelled just now. Try again.")


def retry(job: Job, actor: str) -> Job:
    """A failed or cancelled job waits again, and goes on from the newest checkpoint of its attempts."""
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


def _try_cancel(job: Job, actor: str, reason: str) -> bool:
    """One conditional attempt from the state just read; False: it has changed meanwhile."""
    if job.state == JobState.QUEUED:
        return move_job(job.id, JobState.CANCELLED, actor=actor, reason=reason, only_from=(JobState.QUEUED,))
    if job.state == JobState.SCHEDULED and _withdraw(job, actor, reason):
        return True
    if job.state == JobState.STOPPING:
        return _cancel_what_stops(job, actor, reason)
    return move_job(
        job.id, JobState.STOPPING, actor=actor, reason=reason, attempt=job.attempt_number, wants_stop=True
    )


@transaction.atomic
def _cancel_what_stops(job: Job, actor: str, reason: str) -> bool:
    """It stops already, to wait again; now it will end instead."""
    if not Job.objects.filter(id=job.id, state=JobState.STOPPING).update(wants_stop=True):
        return False
    Event.objects.create(
        job=job, attempt_number=job.attempt_number, actor=actor, kind=f"job.{JobState.STOPPING}", text=reason
    )
    return True


@transaction.atomic
def _withdraw(job: Job, actor: str, reason: str) -> bool:
    """Take back an attempt that no agent has begun; whoever moves it from 'assigned' first wins."""
    attempt = Attempt.objects.filter(job=job, number=job.attempt_number, state__in=ATTEMPT_LIVE).first()
    if attempt is None:
        return False
    if not move_attempt(
        attempt.id,
        AttemptState.STOPPED,
        actor=actor,
        reason=reason,
        only_from=(AttemptState.ASSIGNED,),
        cause=Cause.STOPPED,
    ):
        return False
    return move_job(job.id, JobState.CANCELLED, actor=actor, reason=reason, attempt=job.attempt_number)


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


def _ended(state: str) -> str:
    return {JobState.SUCCEEDED: "succeeded", JobState.FAILED: "failed", JobState.CANCELLED: "been cancelled"}[
        JobState(state)
    ]
