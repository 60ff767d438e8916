"""Queue order: position and priority of waiting jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest
from ninja import Router

from dashboard.access import get_scope
from dashboard.api.jobs import serialize_detail
from dashboard.api.shapes import JobDetail, PriorityIn, QueueMoveIn, Refusal
from engine.spec.spec import Problem, SpecError
from jobs.models import Job
from jobs.queue import ordering
from jobs.queue.ordering import QueueRights, UnknownChoice

router = Router(tags=["jobs"])
Parsed = TypeVar("Parsed")


@router.post("/jobs/{job_id}/move", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def move(request: HttpRequest, job_id: str, body: QueueMoveIn) -> dict[str, Any]:
    """Move a waiting job among those of its pool, team and priority. Owners move their own jobs among their own; leads
    and admins move all."""
    scope = get_scope(request)
    job = scope.get_writable(Job, job_id)
    where = _checked(ordering.parse_where, body.where)
    other = Job.objects.filter(id=body.other).first() if body.other else None
    reach = QueueRights.from_user(scope.user).require_scope(job)
    moved = ordering.reorder(job, scope.name, where, other, reach)
    return serialize_detail(scope.get(Job, moved.job.id))


@router.post("/jobs/{job_id}/priority", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def prioritise(request: HttpRequest, job_id: str, body: PriorityIn) -> dict[str, Any]:
    """Set the priority of a waiting job: low, normal or high; high is for leads and admins."""
    scope = get_scope(request)
    job = scope.get_writable(Job, job_id)
    priority = _checked(ordering.parse_priority, body.priority)
    reach = QueueRights.from_user(scope.user).require_scope(job)
    ordering.set_priority(job, scope.name, priority, reach)
    return serialize_detail(scope.get(Job, job.id))


def _checked(parse: Callable[[str], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except UnknownChoice as error:
        raise SpecError([Problem(error.field, str(error))]) from None
