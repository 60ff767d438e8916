"""Views of sweeps: list, sweep page and actions."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.charts import run_labels
from dashboard.charts.panels import Panel
from dashboard.html.responses import answer
from dashboard.html.shown_rows import select_shown
from dashboard.pages.submit import spec_check, sweep_form
from dashboard.pages.submit import views as submit_page
from dashboard.pages.sweeps import scatter
from dashboard.server.requests import UserRequest
from engine.spec.problems import SpecError
from engine.telemetry.metrics import BY_NAME
from jobs.models import Sweep
from jobs.states.jobs import FINAL, StateError
from jobs.sweeps import advance, progress, ranking, sweep_actions
from jobs.sweeps.ranking import RankedRun

SWEEPS_A_PAGE, ROWS_A_PAGE = 50, 100
COMPARED = 200  # limit of the compare page
EVENTS_SHOWN = 50
DRAWN = 30  # best runs whose series are drawn
LEFT_OUT = ("refused", "not submitted")


@require_safe
def listing(request: UserRequest) -> HttpResponse:
    ended = Count("jobs", filter=Q(jobs__state__in=FINAL))
    found = get_scope(request).seen(Sweep).select_related("owner", "team")
    page = Paginator(found.annotate(num_ended=ended).order_by("-created_at", "id"), SWEEPS_A_PAGE).get_page(
        request.GET.get("page")
    )
    return render(
        request,
        "sweeps/_list.html" if request.headers.get("HX-Request") else "sweeps/list.html",
        {"page": page},
    )


@require_safe
def detail(request: UserRequest, sweep_id: str) -> HttpResponse:
    sweep = get_scope(request).get(Sweep, sweep_id)
    context = _build_context(request, sweep)
    if request.headers.get("HX-Request"):
        return render(request, "sweeps/_body.html", context)
    drawn = [row for row in context["rows"] if row.run and row.step][:DRAWN]
    names = dict.fromkeys(("loss", context["definition"].metric))
    context |= {
        "drawn": drawn,
        "names": {"runs": run_labels.label_runs([row.run for row in drawn if row.run]), "devices": {}},
        "panels": [Panel(BY_NAME[name].label, (name,)) for name in reversed(names)],
    }
    return render(request, "sweeps/page.html", context)


@require_POST
def submit(request: UserRequest) -> HttpResponse:
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    draft = spec_check.draft_from_post(request.POST, team)
    try:
        if draft.spec is None:
            raise SpecError(draft.problems)
        values = sweep_form.values_from_post(request.POST)
        sweep = sweep_actions.submit(spec=draft.spec, values=values, team=team, owner=request.user)
    except SpecError as error:
        refused = dataclasses.replace(draft, problems=error.problems)
        return submit_page.render_page(request, refused, submit_page.posted_origin(request), status=422)
    messages.success(request, f"Sweep {sweep.name} has started.")
    return redirect("sweep", sweep.id)


@require_POST
def act(request: UserRequest, sweep_id: str, name: str) -> HttpResponse:
    """Pause, resume or cancel a sweep."""
    sweep = get_scope(request).get_writable(Sweep, sweep_id)
    page = reverse("sweep", args=[sweep.id])
    if name not in sweep_actions.ACTIONS:
        raise Http404
    try:
        now = sweep_actions.ACTIONS[name](sweep, request.user.get_username())
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"{sweep.name} is {now.state}.", page)


def _build_context(request: UserRequest, sweep: Sweep) -> dict[str, Any]:
    rows, definition = ranking.build_ranking(sweep), advance.definition_of(sweep)
    num_steps = sum(row.step for row in rows)
    page = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    metric = BY_NAME[definition.metric]
    return {
        "sweep": sweep,
        "definition": definition,
        "metric": metric,
        "rows": rows,
        "page": page,
        "paths": list(definition.vary),
        "best": rows[0] if rows and rows[0].position == 1 else None,
        "counts": _count_states(rows),
        "num_steps": num_steps,
        "share": progress.completed_share(sweep, rows),
        "scatters": scatter.build_scatters(definition, rows),
        "rungs": progress.decided_rungs(sweep, rows),
        "compared": [row.run.id for row in rows if row.run and row.position][:COMPARED],
        "history": select_shown(sweep.events.order_by("-id"), EVENTS_SHOWN, request.GET, "events"),
        "may_write": get_scope(request).can_write(sweep),
    }


def _count_states(rows: list[RankedRun]) -> list[tuple[str, int]]:
    """Return (state, number of runs), the most first."""
    states = [row.state for row in rows]
    return sorted(
        ((state, states.count(state)) for state in set(states)), key=lambda pair: (-pair[1], pair[0])
    )
