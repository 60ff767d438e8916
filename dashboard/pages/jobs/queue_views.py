"""Queue page with waiting and running jobs, and changes of position and priority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.core.paginator import Paginator
from django.db.models import Count, F, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.html.responses import answer
from dashboard.server.requests import UserRequest
from jobs.accounting import utilisation
from jobs.lifecycle.deadlines import LATEST_END_S
from jobs.models import Attempt, Job, Pool, Priority
from jobs.queue import ordering
from jobs.queue.ordering import QueueRights, ReorderScope
from jobs.queue.start_times import (
    EndTimes,
    LimitWarning,
    StartTimes,
    check_job_limit,
    get_end_times,
    get_start_times,
)
from jobs.states.jobs import ATTEMPT_LIVE, JobState, StateError

PAGE = "queue"
ROWS_A_PAGE = 100
RUNNING_SHOWN = 6  # jobs that end first
# Columns of some kilobytes that the page does not show
LARGE_JOB_COLUMNS = ("spec", "plan")
LARGE_RUN_COLUMNS = ("spec", "plan", "missing")


@dataclass(frozen=True)
class QueueRow:
    job: Job
    can_see_details: bool  # False: another team's job, shown with its size and position only
    line: str  # jobs of one line can change positions; '' if the user may not move this job
    may_cancel: bool
    starts: StartTimes
    limit_warning: LimitWarning | None  # None too where the user may not see details


@dataclass(frozen=True)
class RunningRow:
    attempt: Attempt
    can_see_details: bool
    ends: EndTimes
    is_over: bool  # past its time limit


@dataclass(frozen=True)
class PoolOption:
    """A pool with its totals, as an option of the filter."""

    pool: Pool
    num_waiting: int
    num_running: int
    num_held: int


@require_safe
def listing(request: UserRequest) -> HttpResponse:
    can_see = get_scope(request).can_see_details
    pools = _list_pools()
    pool_name = request.GET.get("pool", "") or (pools[0].pool.name if len(pools) == 1 else "")
    page = Paginator(_list_waiting(request, pool_name), ROWS_A_PAGE).get_page(request.GET.get("page"))
    rights = QueueRights.from_user(request.user)
    written = get_scope(request).written_team_ids.__contains__
    running = Attempt.objects.filter(
        state__in=ATTEMPT_LIVE, **({"job__pool__name": pool_name} if pool_name else {})
    )
    unused = utilisation.unused_leases(timezone.now()).filter(
        **({"device__node__pool__name": pool_name} if pool_name else {})
    )
    context = {
        "page": page,
        "num_unused": unused.count(),
        "rows": [_build_row(job, can_see, rights, written) for job in _get_jobs(list(page))],
        "pools": pools,
        "pool_name": pool_name,
        "teams": get_scope(request).known_teams(),
        "team": request.GET.get("team", ""),
        "is_mine": request.GET.get("mine") == "1",
        "running": _list_running(running, can_see),
        "num_running": sum(option.num_running for option in pools if pool_name in ("", option.pool.name)),
        "priorities": Priority.choices,
    }
    return render(
        request, "jobs/_queue_list.html" if request.headers.get("HX-Request") else "jobs/queue.html", context
    )


@require_POST
def move(request: UserRequest, job_id: str) -> HttpResponse:
    """Move a job in its line: before or after `other`, or up, down, to the front or to the back."""
    job = get_scope(request).get_writable(Job, job_id)
    try:
        reach = QueueRights.from_user(request.user).require_scope(job)
        where = ordering.parse_where(request.POST.get("where", ""))
        other = Job.objects.filter(id=request.POST["other"]).first() if request.POST.get("other") else None
        moved = ordering.reorder(job, request.user.get_username(), where, other, reach)
    except StateError as error:
        return answer(request, str(error), PAGE, is_refused=True)
    undo = {
        "path": reverse("queue-move", args=[job.id]),
        "values": {"where": moved.undo, "other": moved.undo_other},
    }
    return answer(request, f"{job.name} has a new position.", PAGE, undo=undo)


@require_POST
def prioritise(request: UserRequest, job_id: str) -> HttpResponse:
    """Change the priority of a waiting job."""
    job = get_scope(request).get_writable(Job, job_id)
    try:
        reach = QueueRights.from_user(request.user).require_scope(job)
        priority = ordering.parse_priority(request.POST.get("priority", ""))
        ordering.set_priority(job, request.user.get_username(), priority, reach)
    except StateError as error:
        return answer(request, str(error), PAGE, is_refused=True)
    undo = {"path": request.path, "values": {"priority": job.get_priority_display()}}
    return answer(request, f"{job.name} has priority {request.POST['priority']}.", PAGE, undo=undo)


def _list_waiting(request: UserRequest, pool: str) -> QuerySet[Job, str]:
    """Return the ids of the waiting jobs in order. Thousands of whole rows would be sorted on disk."""
    found = Job.objects.filter(state=JobState.QUEUED)
    if pool:
        found = found.filter(pool__name=pool)
    if team := request.GET.get("team"):
        found = found.filter(team__in=get_scope(request).known_teams().filter(slug=team))
    if request.GET.get("mine") == "1":
        found = found.filter(owner=request.user)
    position = F("position").asc(nulls_last=True)
    return found.order_by("pool__name", position, "queue_key", "id").values_list("id", flat=True)


def _get_jobs(ids: Sequence[str]) -> list[Job]:
    large = [*LARGE_JOB_COLUMNS, *(f"run__{name}" for name in LARGE_RUN_COLUMNS)]
    found = Job.objects.select_related("pool", "owner", "team", "run").defer(*large).in_bulk(ids)
    return [found[one] for one in ids if one in found]


def _list_pools() -> list[PoolOption]:
    waiting = Counter(
        dict(Job.objects.filter(state=JobState.QUEUED).order_by().values_list("pool").annotate(Count("id")))
    )
    live = Attempt.objects.filter(state__in=ATTEMPT_LIVE).order_by().values_list("job__pool")
    running = {
        pool: (count, held) for pool, count, held in live.annotate(Count("id"), Sum("job__num_devices"))
    }
    return [
        PoolOption(pool, waiting[pool.id], *running.get(pool.id, (0, 0)))
        for pool in Pool.objects.order_by("name")
    ]


def _list_running(attempts: QuerySet[Attempt], can_see: Callable[[int], bool]) -> Sequence[RunningRow]:
    now = timezone.now()
    large = [f"job__{name}" for name in (*LARGE_JOB_COLUMNS, *(f"run__{name}" for name in LARGE_RUN_COLUMNS))]
    related = ("job__owner", "job__team", "job__pool", "job__run", "node")
    rows = attempts.select_related(*related).defer(*large, "node__facts", "node__host")
    first = rows.order_by(LATEST_END_S, "id")[:RUNNING_SHOWN]
    return [
        RunningRow(
            attempt, can_see(attempt.job.team_id), ends := get_end_times(attempt, now), ends.latest < now
        )
        for attempt in first
    ]


def _build_row(
    job: Job, can_see: Callable[[int], bool], rights: QueueRights, written: Callable[[int], bool]
) -> QueueRow:
    scope = rights.scope_for(job)
    whose = f"-{job.owner_id}" if scope is ReorderScope.OWN else ""
    line = f"{job.pool_id}-{job.team_id}-{job.priority}{whose}" if scope else ""
    warning = check_job_limit(job, None) if can_see(job.team_id) else None
    return QueueRow(job, can_see(job.team_id), line, written(job.team_id), get_start_times(job), warning)
