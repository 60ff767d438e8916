"""What is odd now: failures, unhealthy training, devices and nodes that need a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from dashboard.access import Scope
from dashboard.html.badges import WAITING_BADGES
from jobs.models import Attempt, Device, Node, Run, RunEvent
from jobs.nodes.heartbeat import current_state
from jobs.queue.start_times import check_job_limit
from jobs.states.jobs import ATTEMPT_LIVE, JobState
from jobs.states.nodes import AdminState, DeviceHealth, Health
from jobs.tracking.external_runs import LOST

RECENT = timedelta(hours=24)
OF_A_KIND = 20  # rows that one kind of alert reads
LARGE_COLUMNS = ("spec", "plan", "missing", "job__spec", "job__plan")


class Alert(NamedTuple):
    """One thing that a person may have to do something about."""

    tone: str
    title: str
    subject: str  # name of the run or node
    address: str
    text: str
    at: datetime | None
    run_id: str = ""  # for one alert a run


def list_alerts(scope: Scope, now: datetime | None = None) -> list[Alert]:
    """The alerts of the caller's teams and of all nodes, the worst first, then the newest. One alert for a run."""
    now = now or timezone.now()
    found = [
        *_list_nodes(now),
        *_list_devices(),
        *_list_failures(scope, now),
        *_list_blocked(scope),
        *_list_idle(scope),
        *_list_unhealthy(scope, now),
        *_list_late(scope, now),
    ]
    one_each = {alert.run_id or f"{alert.title} {alert.address}": alert for alert in reversed(found)}
    oldest = now - timedelta(days=36_500)
    return sorted(one_each.values(), key=lambda one: (one.tone != "bad", -((one.at or oldest).timestamp())))


def _list_failures(scope: Scope, now: datetime) -> Iterator[Alert]:
    runs = _with_names(scope).filter(
        Q(job__state=JobState.FAILED, job__ended_at__gte=now - RECENT)
        | Q(job=None, state=JobState.FAILED, ended_at__gte=now - RECENT)
    )
    found = list(runs.order_by("-created_at")[:OF_A_KIND])
    lost = dict(
        RunEvent.objects.filter(run__in=found, kind=LOST).order_by("id").values_list("run_id", "text")
    )
    for run in found:
        reason = run.job.reason if run.job else lost.get(run.id, "Its script reported a failure.")
        at = run.job.ended_at if run.job else run.ended_at
        yield _of_run("bad", "Failed", run, reason or "No reason recorded.", at)


def _list_blocked(scope: Scope) -> Iterator[Alert]:
    """Jobs that wait for something that no other job's end brings."""
    codes = [code for code, (badge, _) in WAITING_BADGES.items() if badge.tone in ("bad", "warn")]
    runs = _with_names(scope).filter(job__state=JobState.QUEUED, job__waiting_for__code__in=codes)
    for run in runs.order_by("-created_at")[:OF_A_KIND]:
        assert run.job is not None
        badge, _ = WAITING_BADGES[run.job.waiting_for["code"]]
        yield _of_run(badge.tone, "Cannot start", run, run.job.waiting_reason, run.job.submitted_at)


def _list_idle(scope: Scope) -> Iterator[Alert]:
    for run in _with_names(scope).filter(job__idle_stop_at__isnull=False)[:OF_A_KIND]:
        assert run.job is not None and run.job.idle_stop_at is not None
        text = f"Its devices are unused; it is stopped at {run.job.idle_stop_at:%H:%M} UTC."
        yield _of_run("warn", "Idle allocation", run, text, None)


def _list_unhealthy(scope: Scope, now: datetime) -> Iterator[Alert]:
    """Runs whose training goes wrong now, or did when it ended today."""
    runs = _with_names(scope).filter(health__severity__in=("bad", "warn"), health__at__gte=now - RECENT)
    is_live = Q(job__state__in=(JobState.STARTING, JobState.RUNNING)) | Q(job=None, state=JobState.RUNNING)
    for run in runs.filter(is_live).select_related("health")[:OF_A_KIND]:
        text = run.health.body.get("sentence", "")
        yield _of_run(run.health.severity, run.health.name.capitalize(), run, text, run.health.at)


def _list_late(scope: Scope, now: datetime) -> Iterator[Alert]:
    """Jobs that by their pace end at their time limit, unfinished."""
    live = Attempt.objects.filter(
        state__in=ATTEMPT_LIVE, job__state=JobState.RUNNING, job__run__in=scope.seen(Run)
    )
    for attempt in live.select_related("job__run").order_by("-id")[:OF_A_KIND]:
        warning = check_job_limit(attempt.job, attempt, now)
        if warning is not None:
            yield _of_run("warn", "Time limit", attempt.job.run, warning.sentence, None)


def _list_nodes(now: datetime) -> Iterator[Alert]:
    for node in Node.objects.exclude(admin_state=AdminState.RETIRED).defer("facts", "host")[:2000]:
        state = current_state(node, now)
        address = reverse("node", args=[node.id])
        if state in (Health.UNREACHABLE, Health.FAILED, Health.SUSPECT):
            tone = "warn" if state == Health.SUSPECT else "bad"
            text = node.health_reason or "It sends no heartbeat."
            yield Alert(tone, f"Node {state}", node.name, address, text, node.heartbeat_at)
        elif node.storage_problem:
            yield Alert("bad", "Node storage", node.name, address, node.storage_problem, None)


def _list_devices() -> Iterator[Alert]:
    odd = Device.objects.filter(is_present=True).exclude(health=DeviceHealth.OK).select_related("node")
    for device in odd.exclude(node__admin_state=AdminState.RETIRED)[:OF_A_KIND]:
        address = reverse("node", args=[device.node_id])
        text = device.health_reason or "No reason recorded."
        yield Alert("warn", f"Device {device.health}", f"{device.node.name} {device}", address, text, None)


def _with_names(scope: Scope) -> QuerySet[Run]:
    found = scope.seen(Run).filter(archived_at=None).select_related("job", "owner")
    return found.defer(*LARGE_COLUMNS)


def _of_run(tone: str, title: str, run: Run, text: str, at: datetime | None) -> Alert:
    return Alert(tone, title, run.name, reverse("run", args=[run.id]), text, at, run.id)
