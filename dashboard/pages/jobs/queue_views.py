"""The queue: every waiting job in the order it will be served, what runs now, and the moves people make there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.paginator import Paginator
from django.db.models import Count, F, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.html.responses import answer
from jobs.accounting import utilisation
from jobs.models import Attempt, Job, Pool, Priority
from jobs.queue import ordering
from jobs.queue.ordering import Reach, Rights, Where
from jobs.scheduler.deadlines import LATEST_END_S, ends_by
from jobs.states.jobs import ATTEMPT_LIVE, JobState, StateError

PAGE = "queue"
ROWS_A_PAGE = 100
RUNNING_SHOWN = 6  # those that end first
# Kilobytes a row, which no list shows.
HEAVY_OF_JOB = ("spec", "plan")
HEAVY_OF_RUN = ("spec", "plan", "missing")


@dataclass(frozen=True)
class Row:
    job: Job
    is_told: bool  # False: another team's, of which only its size and place are shown
    line: str  # rows of one line may change places; '' where the reader may move nothing
    may_cancel: bool


@dataclass(frozen=True)
class RunningRow:
    attempt: Attempt
    is_told: bool
    ends_by: datetime
    is_over: bool  # past its time limit


@dataclass(frozen=True)
class PoolLine:
    """One pool's part of the queue, as a choice of the filter."""

    pool: Pool
    num_waiting: int
    num_running: int
    num_held: int


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    told = get_scope(request).can_see_details
    pools = _pools()
    here = request.GET.get("pool", "") or (pools[0].pool.name if len(pools) == 1 else "")
    page = Paginator(_waiting(request, here), ROWS_A_PAGE).get_page(request.GET.get("page"))
    rights = Rights.of(request.user)
    written = get_scope(request).written_team_ids.__contains__
    running = Attempt.objects.filter(state__in=ATTEMPT_LIVE, **({"job__pool__name": here} if here else {}))
    unused = utilisation.unused(timezone.now()).filter(**({"device__node__pool__name": here} if here else {}))
    context = {
        "page": page,
        "num_unused": unused.count(),
        "rows": [_row(job, told, rights, written) for job in _jobs(list(page))],
        "pools": pools,
        "here": here,
        "teams": get_scope(request).known_teams(),
        "team": request.GET.get("team", ""),
        "is_mine": request.GET.get("mine") == "1",
        "running": _running(running, told),
        "num_running": sum(line.num_running for line in pools if here in ("", line.pool.name)),
        "priorities": Priority.choices,
    }
    return render(
        request, "jobs/_queue_list.html" if request.headers.get("HX-Request") else "jobs/queue.html", context
    )


@require_POST
def move(request: HttpRequest, job_id: str) -> HttpResponse:
    """Another place in its line: before or after `other`, or up, down, to the front or back."""
    job = get_scope(request).get_writable(Job, job_id)
    try:
        reach = Rights.of(request.user).must_reach(job)
        where, other = _place(request)
        moved = ordering.reorder(job, request.user.get_username(), where, other, reach)
    except StateError as error:
        return answer(request, str(error), PAGE, is_refused=True)
    undo = {
        "path": reverse("queue-move", args=[job.id]),
        "values": {"where": moved.undo, "other": moved.undo_other},
    }
    return answer(request, f"{job.name} has another place.", PAGE, undo=undo)


@require_POST
def prioritise(request: HttpRequest, job_id: str) -> HttpResponse:
    job = get_scope(request).get_writable(Job, job_id)
    try:
        reach = Rights.of(request.user).must_reach(job)
        ordering.prioritise(job, request.user.get_username(), _priority(request), reach)
    except StateError as error:
        return answer(request, str(error), PAGE, is_refused=True)
    undo = {"path": request.path, "values": {"priority": job.get_priority_display()}}
    return answer(request, f"{job.name} has priority {request.POST['priority']}.", PAGE, undo=undo)


def _waiting(request: HttpRequest, pool: str) -> QuerySet[Job, str]:
    """Their ids, in order: thousands of whole rows would be sorted on disk."""
    found = Job.objects.filter(state=JobState.QUEUED)
    if pool:
        found = found.filter(pool__name=pool)
    if team := request.GET.get("team"):
        found = found.filter(team__in=get_scope(request).known_teams().filter(slug=team))
    if request.GET.get("mine") == "1":
        found = found.filter(owner=request.user)
    place = F("position").asc(nulls_last=True)
    return found.order_by("pool__name", place, "queue_key", "id").values_list("id", flat=True)


def _jobs(ids: Sequence[str]) -> list[Job]:
    heavy = [*HEAVY_OF_JOB, *(f"run__{name}" for name in HEAVY_OF_RUN)]
    found = Job.objects.select_related("pool", "owner", "team", "run").defer(*heavy).in_bulk(ids)
    return [found[one] for one in ids if one in found]


def _pools() -> list[PoolLine]:
    """What waits and what runs in each pool."""
    waiting = Counter(
        dict(Job.objects.filter(state=JobState.QUEUED).order_by().values_list("pool").annotate(Count("id")))
    )
    live = Attempt.objects.filter(state__in=ATTEMPT_LIVE).order_by().values_list("job__pool")
    running = {
        pool: (count, held) for pool, count, held in live.annotate(Count("id"), Sum("job__num_devices"))
    }
    return [
        PoolLine(pool, waiting[pool.id], *running.get(pool.id, (0, 0)))
        for pool in Pool.objects.order_by("name")
    ]


def _running(attempts: QuerySet[Attempt], told: Callable[[int], bool]) -> Sequence[RunningRow]:
    now = timezone.now()
    heavy = [f"job__{name}" for name in (*HEAVY_OF_JOB, *(f"run__{name}" for name in HEAVY_OF_RUN))]
    parts = ("job__owner", "job__team", "job__pool", "job__run", "node")
    rows = attempts.select_related(*parts).defer(*heavy, "node__facts", "node__host")
    first = rows.order_by(LATEST_END_S, "id")[:RUNNING_SHOWN]
    return [
        RunningRow(attempt, told(attempt.job.team_id), ends_by(attempt), ends_by(attempt) < now)
        for attempt in first
    ]


def _row(job: Job, told: Callable[[int], bool], rights: Rights, written: Callable[[int], bool]) -> Row:
    reach = rights.reach(job)
    whose = f"-{job.owner_id}" if reach is Reach.OWN else ""
    line = f"{job.pool_id}-{job.team_id}-{job.priority}{whose}" if reach else ""
    return Row(job, told(job.team_id), line, written(job.team_id))


def _place(request: HttpRequest) -> tuple[Where, Job | None]:
    """Raises StateError for a place that there is not."""
    where, other = request.POST.get("where", ""), request.POST.get("other", "")
    if where not in Where.values:
        raise StateError(f"'{where}' is no place; say one of {', '.join(Where.values)}.")
    return Where(where), Job.objects.filter(id=other).first() if other else None


def _priority(request: HttpRequest) -> Priority:
    said = request.POST.get("priority", "")
    if said not in Priority.labels:
        raise StateError(f"'{said}' is no priority; say one of {', '.join(Priority.labels)}.")
    return Priority[said.upper()]
