"""Overview of a person's jobs and runs, the queue, the devices and what is odd."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.access import Scope, get_scope
from dashboard.pages.home import alerts
from dashboard.pages.jobs import progress
from dashboard.server.replies import json_reply
from dashboard.server.requests import UserRequest
from jobs.models import Device, Job, Pool, Run
from jobs.nodes.heartbeat import alive_since
from jobs.queue import start_times
from jobs.states.jobs import FINAL, JobState
from jobs.states.nodes import AdminState, DeviceHealth, Health

ALERTS_SHOWN = 8
JOBS_SHOWN = 6
RUNS_SHOWN = 8


@require_safe
def overview(request: UserRequest) -> HttpResponse:
    scope, now = get_scope(request), timezone.now()
    odd = alerts.list_alerts(scope, now)
    context = {
        "alerts": odd[:ALERTS_SHOWN],
        "num_alerts": len(odd),
        **_build_jobs(request, scope),
        **_build_runs(request, scope),
        "pools": _summarise_pools(),
        "has_team": scope.teams().exists(),
        "written": scope.written_team_ids,
    }
    template = "home/_body.html" if request.headers.get("HX-Request") else "home/page.html"
    return render(request, template, context)


@require_safe
def counts(request: UserRequest) -> HttpResponse:
    """The figures beside the titles of the bar, as JSON."""
    scope = get_scope(request)
    return json_reply(count_jobs(scope) | {"alerts": len(alerts.list_alerts(scope))})


def count_jobs(scope: Scope) -> dict[str, int]:
    running = Count("id", filter=Q(state__in=(JobState.STARTING, JobState.RUNNING, JobState.STOPPING)))
    waiting = Count("id", filter=Q(state=JobState.QUEUED))
    found = scope.seen(Job).exclude(state__in=FINAL).order_by().aggregate(running=running, waiting=waiting)
    return {name: found[name] or 0 for name in ("running", "waiting")}


def _build_jobs(request: UserRequest, scope: Scope) -> dict[str, Any]:
    """The person's own jobs that are not over, running ones first."""
    now = timezone.now()
    mine = scope.seen(Job).filter(owner=request.user).exclude(state__in=FINAL)
    large = ("spec", "plan", "run__spec", "run__plan", "run__missing")
    jobs = list(
        mine.select_related("pool", "team", "run", "owner").defer(*large).order_by("-submitted_at")[:100]
    )
    jobs.sort(key=lambda job: (job.state == JobState.QUEUED, job.position or 0))
    shown = jobs[:JOBS_SHOWN]
    ends = start_times.get_live_end_times(shown, now)
    return {
        "jobs": [
            (job, progress.build_progress(job, now, ends.get(job.id)), start_times.get_start_times(job))
            for job in shown
        ],
        "num_jobs": len(jobs) if len(jobs) < 100 else mine.count(),
        "counts": count_jobs(scope),
    }


def _build_runs(request: UserRequest, scope: Scope) -> dict[str, Any]:
    """The newest runs of the person; of the teams for somebody who has none."""
    visible = (
        scope.listed(Run).filter(archived_at=None).defer("spec", "plan", "missing", "job__spec", "job__plan")
    )
    rows = list(visible.filter(owner=request.user).order_by("-created_at")[:RUNS_SHOWN])
    is_mine = bool(rows)
    if not rows:
        rows = list(visible.order_by("-created_at")[:RUNS_SHOWN])
    return {
        "runs": [(run, run.job.state if run.job else run.state) for run in rows],
        "runs_are_mine": is_mine,
    }


def _summarise_pools() -> list[dict[str, Any]]:
    """Each pool with its devices by what they do, and its queue."""
    is_able = Q(
        health=DeviceHealth.OK,
        node__health=Health.OK,
        node__admin_state=AdminState.OPEN,
        node__heartbeat_at__gte=alive_since(),
    )
    devices = Device.objects.filter(is_present=True).exclude(node__admin_state=AdminState.RETIRED)
    held = _count_by_pool(devices.filter(leases__is_active=True))
    free = _count_by_pool(devices.filter(is_able).exclude(leases__is_active=True))
    total = _count_by_pool(devices)
    is_waiting = Q(jobs__state=JobState.QUEUED)
    waiting = Count("jobs", filter=is_waiting)
    wanted = Sum("jobs__num_devices", filter=is_waiting)
    return [
        {
            "pool": pool,
            "total": total.get(pool.id, 0),
            "held": held.get(pool.id, 0),
            "free": free.get(pool.id, 0),
            "away": max(0, total.get(pool.id, 0) - held.get(pool.id, 0) - free.get(pool.id, 0)),
            "waiting": pool.num_waiting,
            "wanted": pool.num_wanted or 0,
        }
        for pool in Pool.objects.order_by("name").annotate(num_waiting=waiting, num_wanted=wanted)
    ]


def _count_by_pool(devices: QuerySet[Device]) -> dict[int, int]:
    return dict(devices.order_by().values_list("node__pool").annotate(n=Count("id", distinct=True)))
