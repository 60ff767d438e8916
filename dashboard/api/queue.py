"""Queue order: position and priority of waiting jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest
from ninja import Router

from dashboard.api.auth import caller
from dashboard.api.jobs import detailed
from dashboard.api.shapes import Chosen, JobDetail, Place, Refusal
from engine.spec.spec import Problem, SpecError
from jobs.models import Job
from jobs.queue import ordering
from jobs.queue.ordering import QueueRights, UnknownChoice

router = Router(tags=["jobs"])
Parsed = TypeVar("Parsed")


@router.post("/jobs/{job_id}/move", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def move(request: HttpRequest, job_id: str, body: Place) -> dict[str, Any]:
    """A waiting job's place among those of its pool, team and priority: an owner moves their own among their own, a
    lead and an admin all."""
    who = caller(request)
    job = who.writable_job(job_id)
    where = _checked(ordering.parse_where, body.where)
    other = Job.objects.filter(id=body.other).first() if body.other else None
    reach = QueueRights.from_user(who.user).require_scope(job)
    moved = ordering.reorder(job, who.user.get_username(), where, other, reach)
    return detailed(who.job(moved.job.id))


@router.post("/jobs/{job_id}/priority", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def prioritise(request: HttpRequest, job_id: str, body: Chosen) -> dict[str, Any]:
    """low, normal or high, of a waiting job; high is for leads and admins."""
    who = caller(request)
    job = who.writable_job(job_id)
    priority = _checked(ordering.parse_priority, body.priority)
    reach = QueueRights.from_user(who.user).require_scope(job)
    ordering.set_priority(job, who.user.get_username(), priority, reach)
    return detailed(who.job(job.id))


def _checked(parse: Callable[[str], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except UnknownChoice as error:
        raise SpecError([Problem(error.field, str(error))]) from None
