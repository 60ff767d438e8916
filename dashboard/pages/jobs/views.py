"""The job list, and what a person can do to a job there."""

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
from dashboard.pages.jobs.actions import LATER, WISHES
from jobs import series
from jobs.models import Job
from jobs.states.jobs import ACTIVE, JobState, StateError

ROWS_A_PAGE = 50
# Filter in the address -> the states it shows.
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
    found = _found(get_scope(request).seen(Job), request.GET.get("q", ""))
    rows = found.filter(state__in=FILTERS.get(state, FILTERS["all"]))
    page = Paginator(rows.select_related("pool", "owner", "team", "run"), ROWS_A_PAGE).get_page(
        request.GET.get("page")
    )
    context = {
        "page": page,
        "rows": _rows(list(page)),
        "state": state,
        "filters": _counts(found),
        "q": request.GET.get("q", ""),
        "written": get_scope(request).written_team_ids,
    }
    return render(
        request, "jobs/_list.html" if request.headers.get("HX-Request") else "jobs/list.html", context
    )


@require_POST
def wish(request: HttpRequest, job_id: str, name: str) -> HttpResponse:
    """Cancel, pause, resume, retry, or keep its devices."""
    row = WISHES[name]
    job = get_scope(request).get_writable(Job, job_id)
    page = reverse("run", args=[job.run.id])
    try:
        state = row.ask(job, actor=request.user.get_username()).state
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"{job.name} {LATER if state == JobState.STOPPING else row.done}", page)


def _found(jobs: QuerySet[Job], text: str) -> QuerySet[Job]:
    for word in text.split()[:5]:
        jobs = jobs.filter(
            Q(name__icontains=word)
            | Q(id__startswith=word)
            | Q(owner__username__icontains=word)
            | Q(pool__name=word)
        )
    return jobs


def _counts(jobs: QuerySet[Job]) -> list[tuple[str, int]]:
    by_state = Counter(dict(jobs.order_by().values_list("state").annotate(Count("id"))))
    return [(name, sum(by_state[state] for state in states)) for name, states in FILTERS.items()]


def _rows(jobs: list[Job]) -> list[tuple[Job, progress.Progress]]:
    newest, now = series.newest([job.run.id for job in jobs], ["step_s"]), timezone.now()
    return [(job, progress.progress(job, now, newest.get(job.run.id, {}).get("step_s"))) for job in jobs]
