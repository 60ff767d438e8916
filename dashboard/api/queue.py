"""The order of waiting jobs over HTTP: another place in its line, another class of priority."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from dashboard.access import get_scope
from dashboard.api.jobs import detailed
from dashboard.api.shapes import Chosen, JobDetail, Place, Refusal
from engine.spec.spec import Problem, SpecError
from jobs.models import Job, Priority
from jobs.queue import ordering
from jobs.queue.ordering import Rights, Where

router = Router(tags=["jobs"])


@router.post("/jobs/{job_id}/move", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def move(request: HttpRequest, job_id: str, body: Place) -> dict[str, Any]:
    """A waiting job's place among those of its pool, team and priority: an owner moves their own among their own, a
    lead and an admin all."""
    scope = get_scope(request)
    job = scope.get_writable(Job, job_id)
    if body.where not in Where.values:
        said = f"'{body.where}' is no place; say one of {', '.join(Where.values)}."
        raise SpecError([Problem("where", said)])
    other = Job.objects.filter(id=body.other).first() if body.other else None
    reach = Rights.of(scope.user).must_reach(job)
    moved = ordering.reorder(job, scope.name, Where(body.where), other, reach)
    return detailed(scope.get(Job, moved.job.id))


@router.post("/jobs/{job_id}/priority", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def prioritise(request: HttpRequest, job_id: str, body: Chosen) -> dict[str, Any]:
    """low, normal or high, of a waiting job; high is for leads and admins."""
    scope = get_scope(request)
    job = scope.get_writable(Job, job_id)
    if body.priority not in Priority.labels:
        said = f"'{body.priority}' is no priority; say one of {', '.join(Priority.labels)}."
        raise SpecError([Problem("priority", said)])
    reach = Rights.of(scope.user).must_reach(job)
    ordering.prioritise(job, scope.name, Priority[body.priority.upper()], reach)
    return detailed(scope.get(Job, job.id))
