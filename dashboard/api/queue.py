"""Queue order: position and priority of waiting jobs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from dashboard.access import get_scope
from dashboard.api.jobs import serialize_detail
from dashboard.api.shapes import JobDetail, PriorityIn, QueueMoveIn, Refusal
from engine.spec.spec import Problem, SpecError
from jobs.models import Job, Priority
from jobs.queue import ordering
from jobs.queue.ordering import Rights, Where

router = Router(tags=["jobs"])


@router.post("/jobs/{job_id}/move", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def move(request: HttpRequest, job_id: str, body: QueueMoveIn) -> dict[str, Any]:
    """Move a waiting job among those of its pool, team and priority. Owners move their own jobs among their own; leads
    and admins move all."""
    scope = get_scope(request)
    job = scope.get_writable(Job, job_id)
    if body.where not in Where.values:
        message = f"'{body.where}' is not a position; use one of {', '.join(Where.values)}."
        raise SpecError([Problem("where", message)])
    other = Job.objects.filter(id=body.other).first() if body.other else None
    reach = Rights.of(scope.user).must_reach(job)
    moved = ordering.reorder(job, scope.name, Where(body.where), other, reach)
    return serialize_detail(scope.get(Job, moved.job.id))


@router.post("/jobs/{job_id}/priority", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def prioritise(request: HttpRequest, job_id: str, body: PriorityIn) -> dict[str, Any]:
    """Set the priority of a waiting job: low, normal or high; high is for leads and admins."""
    scope = get_scope(request)
    job = scope.get_writable(Job, job_id)
    if body.priority not in Priority.labels:
        message = f"'{body.priority}' is not a priority; use one of {', '.join(Priority.labels)}."
        raise SpecError([Problem("priority", message)])
    reach = Rights.of(scope.user).must_reach(job)
    ordering.prioritise(job, scope.name, Priority[body.priority.upper()], reach)
    return serialize_detail(scope.get(Job, job.id))
