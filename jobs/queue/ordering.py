"""The order of waiting jobs as people change it: who may, moves within a line, and the class of priority.

A line is what waits in one pool for one team in one class of priority: between lines the scheduler decides, by class
and fair share. A move permutes the places that are held by jobs the mover may move; nobody else's place changes.
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

TICK = timedelta(microseconds=1)


class Reach(Enum):
    """Which jobs of a line somebody may put into another order."""

    OWN = "own"
    LINE = "line"


class Where(TextChoices):
    BEFORE = "before"  # another job
    AFTER = "after"
    UP = "up"  # by one
    DOWN = "down"
    FRONT = "front"
    BACK = "back"


@dataclass(frozen=True)
class Rights:
    """What one person may do with waiting jobs: an owner with their own, a lead with the team's, an admin with all."""

    user_id: int
    is_admin: bool
    roles: dict[int, str]  # by team

    @classmethod
    def of(cls, user: User) -> Rights:
        roles = dict(Membership.objects.filter(user_id=user.pk).values_list("team_id", "role"))
        return cls(user.pk, bool(user.is_staff), roles)

    def reach(self, job: Job) -> Reach | None:
        role = self.roles.get(job.team_id)
        if self.is_admin or role == Role.LEAD:
            return Reach.LINE
        return Reach.OWN if role == Role.MEMBER and job.owner_id == self.user_id else None

    def must_reach(self, job: Job) -> Reach:
        """Raises StateError with who may."""
        reach = self.reach(job)
        if reach is None:
            raise StateError(
                f"Job {job.id} is {job.owner.get_username()}'s. They, a lead of team {job.team.name} or an admin "
                "may change its place."
            )
        return reach


@dataclass(frozen=True)
class Moved:
    """A job's new place, and what brings it back to the one it had."""

    job: Job
    undo: Where
    undo_other: str = ""  # a job's id


class UnknownChoice(StateError):
    """A move or priority that does not exist; `field` is the one that holds it."""

    def __init__(self, field: str, value: str, known: Sequence[str]) -> None:
        super().__init__(f"'{value}' is not known as {field}. Known: {', '.join(known)}.")
        self.field = field


def parse_where(text: str) -> Where:
    """Raises UnknownChoice."""
    if text not in Where.values:
        raise UnknownChoice("where", text, Where.values)
    return Where(text)


def parse_priority(text: str) -> Priority:
    """Raises UnknownChoice."""
    if text not in Priority.labels:
        raise UnknownChoice("priority", text, Priority.labels)
    return Priority[text.upper()]


@dataclass(frozen=True)
class Slot:
    """A place in a line."""

    job: str
    key: datetime
    position: int | None
    is_shifted: bool = False  # its key is not the stored one


@transaction.atomic
def reorder(job: Job, actor: str, where: Where, other: Job | None = None, reach: Reach = Reach.LINE) -> Moved:
    """Move a waiting job within its line. Raises StateError when it waits no more, stands there already, or `other`
    does not wait in the same line."""
    Pool.objects.select_for_update(no_key=True).get(
        id=job.pool_id
    )  # no placing, and no other move, meanwhile
    slots = _slots(job, reach)
    line = [slot.job for slot in slots]
    if job.id not in line:
        raise StateError(f"Job {job.id} does not wait any more.")
    at = line.index(job.id)
    others = [one for one in line if one != job.id]
    to = _index(where, at, others, job, other, reach)
    if to == at:
        raise StateError(f"Job {job.id} stands there already.")
    _write(slots, [*others[:to], job.id, *others[to:]])
    Event.objects.create(job=job, actor=actor, kind="note.info", text=f"{_told(where, other)} by {actor}.")
    undo_other = others[at] if at < len(others) else ""
    return Moved(
        Job.objects.get(id=job.id), Where.BEFORE if undo_other else Where.BACK, undo_other=undo_other
    )


@transaction.atomic
def prioritise(job: Job, actor: str, priority: Priority, reach: Reach = Reach.LINE) -> Job:
    """Another class for a waiting job; it keeps its age. Raises StateError when it waits no more, or who may only
    move their own jobs asks for high: that goes before everybody's normal jobs."""
    if priority == Priority.HIGH and reach is not Reach.LINE:
        raise StateError(f"'high' is for leads of team {job.team.name} and admins. Ask one of them.")
    waiting = Job.objects.filter(id=job.id, state=JobState.QUEUED)
    if not waiting.exclude(priority=priority).update(priority=priority):
        now = Job.objects.get(id=job.id)
        said = f"has priority {now.get_priority_display()} already" if now.state == JobState.QUEUED else ""
        raise StateError(f"Job {job.id} {said or 'does not wait any more'}.")
    Event.objects.create(
        job=job, actor=actor, kind="note.info", text=f"Priority {priority.label}, set by {actor}."
    )
    return Job.objects.get(id=job.id)


def line_of(job: Job, reach: Reach) -> QuerySet[Job]:
    """The waiting jobs among which it may be moved, in order."""
    line = Job.objects.filter(
        state=JobState.QUEUED, pool=job.pool_id, team=job.team_id, priority=job.priority
    )
    return (line if reach is Reach.LINE else line.filter(owner=job.owner_id)).order_by("queue_key", "id")


def _slots(job: Job, reach: Reach) -> list[Slot]:
    """With keys that differ, so that a permutation of them is an order."""
    slots: list[Slot] = []
    for one, key, position in line_of(job, reach).values_list("id", "queue_key", "position"):
        later = max(key, slots[-1].key + TICK) if slots else key
        slots.append(Slot(one, later, position, is_shifted=later != key))
    return slots


def _index(where: Where, at: int, others: Sequence[str], job: Job, other: Job | None, reach: Reach) -> int:
    """Its place among the others of its line."""
    if where in (Where.BEFORE, Where.AFTER):
        if other is None or other.id not in others:
            whose = "" if reach is Reach.LINE else " and owner"
            name = other.id if other else "?"
            raise StateError(
                f"Job {name} does not wait in the same line: the same pool, team, priority{whose} as {job.id}."
            )
        return others.index(other.id) + (where == Where.AFTER)
    steps = {Where.UP: at - 1, Where.DOWN: at + 1, Where.FRONT: 0, Where.BACK: len(others)}
    return min(len(others), max(0, steps[where]))


def _write(slots: Sequence[Slot], order: Sequence[str]) -> None:
    """One prepared UPDATE a changed row: thousands may shift by one (see jobs.scheduler.positions)."""
    moved = [
        (connection.ops.adapt_datetimefield_value(slot.key), slot.position, job)
        for slot, job in zip(slots, order, strict=True)
        if slot.job != job or slot.is_shifted
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE jobs_job SET queue_key = %s, position = %s WHERE id = %s AND state = 'queued'", moved
        )


def _told(where: Where, other: Job | None) -> str:
    if other is not None:
        return f"Moved {where} job {other.id}"
    return {
        Where.UP: "Moved up by one",
        Where.DOWN: "Moved down by one",
        Where.FRONT: "Moved to the front of its line",
    }.get(where, "Moved to the back of its line")
