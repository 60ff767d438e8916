"""Order of waiting jobs: moves within a line, and priorities.

A line is the waiting jobs of one pool, team and priority. Between lines the scheduler decides, by priority
and fair share. A move permutes the positions of the jobs that the person may move; other jobs keep their
positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import QuerySet, TextChoices

from jobs.models import Event, Job, Membership, Pool, Priority
from jobs.models.people import Role
from jobs.states.jobs import JobState, StateError

KEY_STEP = timedelta(microseconds=1)


class ReorderScope(Enum):
    """The jobs of a line that a person may reorder."""

    OWN = "own"
    LINE = "line"


class MoveTarget(TextChoices):
    BEFORE = "before"  # another job
    AFTER = "after"
    UP = "up"  # by one
    DOWN = "down"
    FRONT = "front"
    BACK = "back"


@dataclass(frozen=True)
class QueueRights:
    """What a user may do with waiting jobs: an owner with their own, a lead with the team's, an admin with all."""

    user_id: int
    is_admin: bool
    roles: dict[int, str]  # by team

    @classmethod
    def from_user(cls, user: User) -> QueueRights:
        roles = dict(Membership.objects.filter(user_id=user.pk).values_list("team_id", "role"))
        return cls(user.pk, bool(user.is_staff), roles)

    def scope_for(self, job: Job) -> ReorderScope | None:
        role = self.roles.get(job.team_id)
        if self.is_admin or role == Role.LEAD:
            return ReorderScope.LINE
        return ReorderScope.OWN if role == Role.MEMBER and job.owner_id == self.user_id else None

    def require_scope(self, job: Job) -> ReorderScope:
        """Like scope_for, but raises StateError with those who may move the job."""
        scope = self.scope_for(job)
        if scope is None:
            raise StateError(
                f"Job {job.id} belongs to {job.owner.get_username()}. Only they, a lead of team {job.team.name} or an "
                "admin may move it."
            )
        return scope


@dataclass(frozen=True)
class MoveResult:
    """A moved job, and the move that undoes it."""

    job: Job
    undo: MoveTarget
    undo_other: str = ""  # a job's id


class UnknownChoice(StateError):
    """A move or priority is unknown; `field` names the field that holds it."""

    def __init__(self, field: str, value: str, known: Sequence[str]) -> None:
        super().__init__(f"'{value}' is not known as {field}. Known: {', '.join(known)}.")
        self.field = field


def parse_where(text: str) -> MoveTarget:
    """Raises UnknownChoice."""
    if text not in MoveTarget.values:
        raise UnknownChoice("where", text, MoveTarget.values)
    return MoveTarget(text)


def parse_priority(text: str) -> Priority:
    """Raises UnknownChoice."""
    if text not in Priority.labels:
        raise UnknownChoice("priority", text, Priority.labels)
    return Priority[text.upper()]


@dataclass(frozen=True)
class Slot:
    """A position in a line."""

    job: str
    key: datetime
    position: int | None
    is_shifted: bool = False  # its key differs from the stored one


@transaction.atomic
def reorder(
    job: Job,
    actor: str,
    target: MoveTarget,
    other: Job | None = None,
    scope: ReorderScope = ReorderScope.LINE,
) -> MoveResult:
    """Move a waiting job within its line.

    Raises StateError if the job is no longer waiting or already there, or if `other` is not in the same line.
    """
    Pool.objects.select_for_update(no_key=True).get(
        id=job.pool_id
    )  # excludes scheduling and other moves until commit
    slots = _slots(job, scope)
    line = [slot.job for slot in slots]
    if job.id not in line:
        raise StateError(f"Job {job.id} is no longer waiting.")
    index = line.index(job.id)
    others = [one for one in line if one != job.id]
    new_index = _new_index(target, index, others, job, other, scope)
    if new_index == index:
        raise StateError(f"Job {job.id} is already at that position.")
    _store_order(slots, [*others[:new_index], job.id, *others[new_index:]])
    Event.objects.create(
        job=job, actor=actor, kind="note.info", text=f"{_describe_move(target, other)} by {actor}."
    )
    undo_other = others[index] if index < len(others) else ""
    return MoveResult(
        Job.objects.get(id=job.id),
        MoveTarget.BEFORE if undo_other else MoveTarget.BACK,
        undo_other=undo_other,
    )


@transaction.atomic
def set_priority(job: Job, actor: str, priority: Priority, scope: ReorderScope = ReorderScope.LINE) -> Job:
    """Change the priority of a waiting job, which keeps its age.

    Raises StateError if the job is no longer waiting, or if a person who may move only their own jobs asks
    for high: high goes before the normal jobs of all teams.
    """
    if priority == Priority.HIGH and scope is not ReorderScope.LINE:
        raise StateError(f"Priority 'high' is for leads of team {job.team.name} and admins. Ask one of them.")
    waiting = Job.objects.filter(id=job.id, state=JobState.QUEUED)
    if not waiting.exclude(priority=priority).update(priority=priority):
        now = Job.objects.get(id=job.id)
        problem = f"already has priority {now.get_priority_display()}" if now.state == JobState.QUEUED else ""
        raise StateError(f"Job {job.id} {problem or 'is no longer waiting'}.")
    Event.objects.create(
        job=job, actor=actor, kind="note.info", text=f"Priority {priority.label}, set by {actor}."
    )
    return Job.objects.get(id=job.id)


def waiting_line(job: Job, scope: ReorderScope) -> QuerySet[Job]:
    """The waiting jobs among which `job` may be moved, in order."""
    line = Job.objects.filter(
        state=JobState.QUEUED, pool=job.pool_id, team=job.team_id, priority=job.priority
    )
    return (line if scope is ReorderScope.LINE else line.filter(owner=job.owner_id)).order_by(
        "queue_key", "id"
    )


def _slots(job: Job, scope: ReorderScope) -> list[Slot]:
    """The slots of the job's line, with distinct keys, so that any permutation of them is an order."""
    slots: list[Slot] = []
    for one, key, position in waiting_line(job, scope).values_list("id", "queue_key", "position"):
        later = max(key, slots[-1].key + KEY_STEP) if slots else key
        slots.append(Slot(one, later, position, is_shifted=later != key))
    return slots


def _new_index(
    target: MoveTarget, index: int, others: Sequence[str], job: Job, other: Job | None, scope: ReorderScope
) -> int:
    """Index of the job in its line after the move."""
    if target in (MoveTarget.BEFORE, MoveTarget.AFTER):
        if other is None or other.id not in others:
            same = (
                "pool, team and priority" if scope is ReorderScope.LINE else "pool, team, priority and owner"
            )
            name = other.id if other else "?"
            raise StateError(f"Job {name} is not in the same line as job {job.id}: a line has one {same}.")
        return others.index(other.id) + (target == MoveTarget.AFTER)
    steps = {
        MoveTarget.UP: index - 1,
        MoveTarget.DOWN: index + 1,
        MoveTarget.FRONT: 0,
        MoveTarget.BACK: len(others),
    }
    return min(len(others), max(0, steps[target]))


def _store_order(slots: Sequence[Slot], order: Sequence[str]) -> None:
    """Store the order with one prepared UPDATE per changed row (see jobs.scheduler.positions).

    Thousands of rows may shift by one.
    """
    moved = [
        (connection.ops.adapt_datetimefield_value(slot.key), slot.position, job)
        for slot, job in zip(slots, order, strict=True)
        if slot.job != job or slot.is_shifted
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE jobs_job SET queue_key = %s, position = %s WHERE id = %s AND state = 'queued'", moved
        )


def _describe_move(target: MoveTarget, other: Job | None) -> str:
    if other is not None:
        return f"Moved {target} job {other.id}"
    return {
        MoveTarget.UP: "Moved up by one",
        MoveTarget.DOWN: "Moved down by one",
        MoveTarget.FRONT: "Moved to the front of its line",
    }.get(target, "Moved to the back of its line")
