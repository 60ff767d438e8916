"""Job list and actions on jobs."""

from __future__ import annotations

from collections import Counter

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.html.responses import answer
from dashboard.pages.jobs import progress
from dashboard.pages.jobs.actions import ACTIONS, STOPS_LATER
from jobs.models import Job
from jobs.queue import start_times
from jobs.states.jobs import ACTIVE, JobState, StateError

ROWS_A_PAGE = 50
# Filter in the address -> states that it shows
FILTERS: dict[str, tuple[str, ...]] = {
    "all": tuple(JobState.values),
    "waiting": (JobState.QUEUED,),
    "active": ACTIVE,
    "paused": (JobState.PAUSED,),
    "succeeded": (JobState.SUCCEEDED,),
    "failed": (JobState.FAILED,),
    "cancelled": (JobState.CANCELLED,),
}


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    state = request.GET.get("state", "all")
    found = _search(get_scope(request).seen(Job), request.GET.get("q", ""))
    rows = found.filter(state__in=FILTERS.get(state, FILTERS["all"]))
    page = Paginator(rows.select_related("pool", "owner", "team", "run"), ROWS_A_PAGE).get_page(
        request.GET.get("page")
    )
    context = {
        "page": page,
        "rows": _with_progress(list(page)),
        "state": state,
        "filters": _count_by_filter(found),
        "q": request.GET.get("q", ""),
        "written": get_scope(request).written_team_ids,
    }
    return render(
        request, "jobs/_list.html" if request.headers.get("HX-Request") else "jobs/list.html", context
    )


@require_POST
def act(request: HttpRequest, job_id: str, name: str) -> HttpResponse:
    """Cancel, pause, resume or retry a job, or keep its devices."""
    action = ACTIONS[name]
    job = get_scope(request).get_writable(Job, job_id)
    page = reverse("run", args=[job.run.id])
    try:
        state = action.act(job, actor=request.user.get_username()).state
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"{job.name} {STOPS_LATER if state == JobState.STOPPING else action.done}", page)


def _search(jobs: QuerySet[Job], text: str) -> QuerySet[Job]:
    for word in text.split()[:5]:
        jobs = jobs.filter(
            Q(name__icontains=word)
            | Q(id__startswith=word)
            | Q(owner__username__icontains=word)
            | Q(pool__name=word)
        )
    return jobs


def _count_by_filter(jobs: QuerySet[Job]) -> list[tuple[str, int]]:
    by_state = Counter(dict(jobs.order_by().values_list("state").annotate(Count("id"))))
    return [(name, sum(by_state[state] for state in states)) for name, states in FILTERS.items()]


def _with_progress(jobs: list[Job]) -> list[tuple[Job, progress.JobProgress]]:
    now = timezone.now()
    ends = start_times.get_live_end_times(jobs, now)
    return [(job, progress.build_progress(job, now, ends.get(job.id))) for job in jobs]
