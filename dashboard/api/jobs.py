"""Jobs: submit, list, read, cancel, pause, resume, retry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from ninja import Query, Router, Status
from ninja.errors import HttpError

from dashboard.access import get_scope
from dashboard.api.compressed_bodies import json_or_yaml_body
from dashboard.api.paging import page
from dashboard.api.shapes import JobDetail, JobPage, Refusal
from dashboard.server.json_bodies import BadBody, read_json
from engine.request_limits import OFFSET, PAGE_ROWS, REASON_CHARS, SPEC_BYTES
from engine.spec.spec import Problem, Spec, SpecError, merged, parse, yaml_values
from jobs.models import Job, Run, Template
from jobs.queue import job_actions, restart, start_times
from jobs.scheduler import idle
from jobs.states.jobs import JobState

router = Router(tags=["jobs"])
BODY = json_or_yaml_body("A spec, as a JSON object or as YAML text")


@router.post("/jobs", response={201: JobDetail, 413: Refusal, 422: Refusal}, openapi_extra=BODY)
def submit(
    request: HttpRequest, team: str | None = None, clone: str | None = None, template: str | None = None
) -> Status:
    """Submit a job to the queue of its pool. With `clone` (a run's id) or `template` (an id) the body holds only the
    differences and may be empty. 422 with every problem of the spec, each with its field."""
    scope = get_scope(request)
    target = scope.get_writable_team(team)
    cloned_from = scope.get(Run, clone) if clone else None
    made_from = scope.get(Template, template) if template and not clone else None
    origin = cloned_from or made_from
    try:
        spec = spec_of(request, origin.spec if origin else None)
    except RequestDataTooBig:
        raise HttpError(413, f"The spec is too large; the limit is {SPEC_BYTES:,} bytes.") from None
    job = job_actions.submit(
        spec=spec, team=target, owner=scope.user, cloned_from=cloned_from, template=made_from
    )
    return Status(201, serialize_detail(job))


@router.get("/jobs", response=JobPage)
def listing(
    request: HttpRequest,
    state: str | None = None,
    limit: int = Query(100, ge=1, le=PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:
    """Newest first."""
    found = get_scope(request).listed(Job)
    if state:
        found = found.filter(state=state)
    return page(found, limit, offset, serialize)


@router.get("/jobs/{job_id}", response={200: JobDetail, 404: Refusal})
def one(request: HttpRequest, job_id: str) -> dict[str, Any]:
    return serialize_detail(get_scope(request).get(Job, job_id))


@router.post("/jobs/{job_id}/cancel", response={200: JobDetail, 404: Refusal, 409: Refusal})
def cancel(
    request: HttpRequest, job_id: str, reason: str = Query("", max_length=REASON_CHARS)
) -> dict[str, Any]:
    """Cancel a job. A waiting job ends at once; a running one stops after its current step, with a checkpoint."""
    scope = get_scope(request)
    return serialize_detail(
        job_actions.cancel(scope.get_writable(Job, job_id), actor=scope.name, reason=reason)
    )


@router.post("/jobs/{job_id}/pause", response={200: JobDetail, 404: Refusal, 409: Refusal})
def pause(
    request: HttpRequest, job_id: str, reason: str = Query("", max_length=REASON_CHARS)
) -> dict[str, Any]:
    """Pause a job. A waiting job pauses at once; a running one stops after its current step, with a checkpoint."""
    scope = get_scope(request)
    return serialize_detail(
        job_actions.pause(scope.get_writable(Job, job_id), actor=scope.name, reason=reason)
    )


@router.post("/jobs/{job_id}/resume", response={200: JobDetail, 404: Refusal, 409: Refusal})
def resume(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Resume a paused job: it waits again, and continues from its newest checkpoint."""
    scope = get_scope(request)
    return serialize_detail(job_actions.resume(scope.get_writable(Job, job_id), actor=scope.name))


@router.post("/jobs/{job_id}/extend", response={200: JobDetail, 404: Refusal, 409: Refusal})
def extend(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Keep the idle devices of a warned job for longer, once."""
    scope = get_scope(request)
    return serialize_detail(idle.extend(scope.get_writable(Job, job_id), actor=scope.name))


@router.post("/jobs/{job_id}/retry", response={200: JobDetail, 404: Refusal, 409: Refusal})
def retry(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Retry a failed or cancelled job: it waits again, and continues from its newest checkpoint."""
    scope = get_scope(request)
    return serialize_detail(job_actions.retry(scope.get_writable(Job, job_id), actor=scope.name))


@router.post("/jobs/{job_id}/restart", response={200: JobDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def start_again(request: HttpRequest, job_id: str, step: int | None = Query(None, ge=0)) -> dict[str, Any]:
    """Start a job from step 0 or from an earlier checkpoint. Later checkpoints are given up for good, so the step has
    to be named."""
    scope = get_scope(request)
    job = scope.get_writable(Job, job_id)
    if step is None:
        raise SpecError(
            [Problem("step", "Name the step: 0, or that of a checkpoint. Later ones are given up.")]
        )
    return serialize_detail(restart.restart(job, scope.name, step))


def serialize(job: Job) -> dict[str, Any]:
    run_id = job.run.id if hasattr(job, "run") else None
    return {
        "id": job.id,
        "run": run_id,
        "name": job.name,
        "state": job.state,
        "team": job.team.slug,
        "owner": job.owner.get_username(),
        "pool": job.pool.name,
        "num_devices": job.num_devices,
        "step": job.step,
        "num_steps": job.num_steps,
        "attempt": job.attempt_number,
        "priority": job.get_priority_display(),
        "preemptible": job.is_preemptible,
        "waiting_reason": job.waiting_reason,
        "waiting_for": job.waiting_for,
        "position": job.position,
        **serialize_times(job),
        "idle_stop_at": job.idle_stop_at,
        "idle_extended_by": job.idle_extended_by,
        "reason": job.reason,
        "cloned_from": job.cloned_from_id,
        "template": job.template_id,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "url": page_url(run_id),
    }


def serialize_times(job: Job) -> dict[str, Any]:
    """Both times of start and the warning about the time limit; empty once it has left the queue."""
    if job.state != JobState.QUEUED:
        return {
            "expected_start_at": None,
            "likely_start_at": None,
            "likely_start_unknown": "",
            "limit_warning": "",
        }
    times, warning = start_times.get_start_times(job), start_times.check_job_limit(job, None)
    return {
        "expected_start_at": times.latest, "likely_start_at": times.likely, "likely_start_unknown": times.why_not,
        "limit_warning": warning.sentence if warning else "",
    }  # fmt: skip


def serialize_detail(job: Job) -> dict[str, Any]:
    return {**serialize(job), "spec": job.spec, "plan": job.plan}


def page_url(run_id: str | None) -> str:
    """The address of the run's page; '' without one."""
    try:
        return reverse("run", args=[run_id]) if run_id else ""
    except NoReverseMatch:
        return ""


def spec_of(request: HttpRequest, base: Mapping[str, Any] | None = None) -> Spec:
    """The spec in the body, merged into the base if there is one."""
    if base is None and not request.body:
        raise SpecError([Problem("", "The request has no body; send a spec as a JSON object or as YAML.")])
    values = values_of(request) if request.body else {}
    return parse(merged(base, values) if base is not None and isinstance(values, Mapping) else values)


def values_of(request: HttpRequest) -> Any:
    """The plain values of the body, JSON or YAML."""
    if request.content_type != "application/json" or len(request.body) > SPEC_BYTES:
        return yaml_values(request.body)
    try:
        return read_json(request.body)
    except BadBody as error:
        raise SpecError([Problem("", str(error))]) from None
