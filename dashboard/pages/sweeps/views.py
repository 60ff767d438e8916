"""Sweeps: the list, one of them with its runs, and what a person can ask of it."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.charts import run_labels
from dashboard.charts.panels import Panel
from dashboard.html.responses import answer
from dashboard.pages.submit import spec_check, sweep_form
from dashboard.pages.submit import views as submit_page
from dashboard.pages.sweeps import scatter
from engine.spec.problems import SpecError
from engine.telemetry.metrics import BY_NAME
from jobs.models import Sweep
from jobs.states.jobs import FINAL, StateError
from jobs.sweeps import advance, ranking, sweep_actions
from jobs.sweeps.ranking import Row

SWEEPS_A_PAGE, ROWS_A_PAGE = 50, 100
COMPARED = 20  # as many as the compare page takes
DRAWN = 30  # best runs whose series are laid over each other
LEFT_OUT = ("refused", "not submitted")
WISHES = {"pause": sweep_actions.pause, "resume": sweep_actions.resume, "cancel": sweep_actions.cancel}


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    over = Count("jobs", filter=Q(jobs__state__in=FINAL))
    found = get_scope(request).seen(Sweep).select_related("owner", "team")
    page = Paginator(found.annotate(num_over=over).order_by("-created_at", "id"), SWEEPS_A_PAGE).get_page(
        request.GET.get("page")
    )
    return render(
        request,
        "sweeps/_list.html" if request.headers.get("HX-Request") else "sweeps/list.html",
        {"page": page},
    )


@require_safe
def detail(request: HttpRequest, sweep_id: str) -> HttpResponse:
    sweep = get_scope(request).get(Sweep, sweep_id)
    context = _standing(request, sweep)
    if request.headers.get("HX-Request"):
        return render(request, "sweeps/_body.html", context)
    drawn = [row for row in context["rows"] if row.run and row.step][:DRAWN]
    names = dict.fromkeys(("loss", context["definition"].metric))
    context |= {
        "drawn": drawn,
        "names": {"runs": run_labels.of_runs([row.run for row in drawn if row.run]), "devices": {}},
        "panels": [Panel(BY_NAME[name].label, (name,)) for name in reversed(names)],
    }
    return render(request, "sweeps/page.html", context)


@require_POST
def submit(request: HttpRequest) -> HttpResponse:
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    draft = spec_check.draft_from(request.POST, team)
    try:
        if draft.spec is None:
            raise SpecError(draft.problems)
        values = sweep_form.values_of(request.POST)
        sweep = sweep_actions.submit(spec=draft.spec, values=values, team=team, owner=request.user)
    except SpecError as error:
        wrong = dataclasses.replace(draft, problems=error.problems)
        return submit_page.page(request, wrong, submit_page.posted_origin(request), status=422)
    messages.success(request, f"Sweep {sweep.name} has begun.")
    return redirect("sweep", sweep.id)


@require_POST
def wish(request: HttpRequest, sweep_id: str, name: str) -> HttpResponse:
    sweep = get_scope(request).get_writable(Sweep, sweep_id)
    page = reverse("sweep", args=[sweep.id])
    if name not in WISHES:
        raise Http404
    try:
        now = WISHES[name](sweep, request.user.get_username())
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"{sweep.name} is {now.state}.", page)


def _standing(request: HttpRequest, sweep: Sweep) -> dict[str, Any]:
    rows, definition = ranking.of(sweep), advance.definition_of(sweep)
    done = sum(row.step for row in rows)
    page = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    metric = BY_NAME[definition.metric]
    return {
        "sweep": sweep,
        "definition": definition,
        "metric": metric,
        "rows": rows,
        "page": page,
        "paths": list(definition.vary),
        "best": rows[0] if rows and rows[0].place == 1 else None,
        "counts": _counts(rows),
        "num_steps": done,
        "share": _share(sweep, rows),
        "scatters": scatter.of(definition, rows),
        "rungs": _rungs(sweep, rows),
        "compared": [row.run.id for row in rows if row.run and row.place][:COMPARED],
        "history": sweep.events.order_by("-id")[:50],
        "may_write": get_scope(request).can_write(sweep),
    }


def _counts(rows: list[Row]) -> list[tuple[str, int]]:
    """(state, how many), the most first."""
    states = [row.state for row in rows]
    return sorted(
        ((state, states.count(state)) for state in set(states)), key=lambda pair: (-pair[1], pair[0])
    )


def _share(sweep: Sweep, rows: list[Row]) -> float:
    """Of the runs that are to be made, how many have ended; of a rung, how many stand at it."""
    if sweep.state in sweep_actions.OVER:
        return 1.0
    members = set(advance.members_of(sweep))
    steps = sweep.rungs[min(len(sweep.decisions), len(sweep.rungs) - 1)]
    here = [row for row in rows if row.number in members]
    at_rung = sum(row.state in FINAL or row.step >= steps for row in here)
    return (len(sweep.decisions) + (at_rung / len(here) if here else 0.0)) / len(sweep.rungs)


def _rungs(sweep: Sweep, rows: list[Row]) -> list[dict[str, Any]]:
    """Each decided rung with who came, with what value, and who went on; then the one that is under way."""
    by_number = {row.number: row for row in rows}
    found = []
    for decision in sweep.decisions:
        values = {int(number): value for number, value in decision["values"].items()}
        order = sorted(
            decision["members"], key=lambda n: (n not in decision["promoted"], values.get(n) is None, n)
        )
        came = [(by_number[n], values.get(n), n in decision["promoted"]) for n in order]
        found.append({"steps": decision["steps"], "came": came, "num_promoted": len(decision["promoted"])})
    return found
