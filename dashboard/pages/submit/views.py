"""The submit page: a spec as fields and as YAML, checked while it is typed."""

from __future__ import annotations

import dataclasses

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.access import get_scope
from dashboard.pages.submit import origins, plan_panel, spec_check, spec_fields, sweep_form
from dashboard.pages.submit.origins import Origin
from dashboard.pages.submit.spec_check import Draft
from dashboard.server.replies import json_reply
from engine.data import corpora
from engine.hardware import fabric_test
from engine.spec import presets
from engine.spec.spec import SpecError, nested
from jobs import datasets
from jobs.models import Pool, Team, Template
from jobs.queue import job_actions
from jobs.sweeps import sweep_actions

HISTORY_SHOWN = 10
SHOWN = 50  # points of a sweep


@require_http_methods(["GET", "HEAD", "POST"])
def submit(request: HttpRequest) -> HttpResponse:
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    if request.method != "POST":
        origin = origins.asked(get_scope(request), request.GET)
        values = origins.changed(origin, request.GET.getlist("set"))
        return page(request, spec_check.draft_of(values, team), origin)
    draft, origin = spec_check.draft_from(request.POST, team), posted_origin(request)
    if not draft.is_ready:
        return page(request, draft, origin, status=422)
    try:
        job = job_actions.submit(
            spec=draft.spec, team=team, owner=request.user, cloned_from=origin.run, template=origin.template
        )
    except SpecError as error:  # the pool changed between the check and the queue
        return page(request, dataclasses.replace(draft, problems=error.problems), origin, status=422)
    messages.success(request, f"{job.name} is in the queue of pool {job.pool.name}.")
    return redirect("run", job.run.id)


@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """What the page needs to follow an edit, as JSON: both notations, the problems and the estimate."""
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    draft = spec_check.draft_from(request.POST, team)
    return json_reply(
        {
            "yaml": draft.yaml,
            "values": None if draft.values is None else spec_fields.texts_of(draft.values),
            "problems": spec_check.problems_shown(draft),
            "note": draft.note,
            "plan": render_to_string("submit/_plan.html", _plan(request, draft)),
            "sweep": render_to_string("submit/_sweep_preview.html", _preview(request, draft, team)),
            "differs": render_to_string("submit/_differs.html", _differs(draft, posted_origin(request))),
        }
    )


def posted_origin(request: HttpRequest) -> Origin:
    """Where the posted spec began; what is gone since (a deleted template) counts as the default preset."""
    try:
        return origins.of(get_scope(request), request.POST.get("origin", ""))
    except Http404:
        return origins.of(get_scope(request), f"preset:{origins.DEFAULT_PRESET}")


def page(request: HttpRequest, draft: Draft, origin: Origin, status: int = 200) -> HttpResponse:
    texts = spec_fields.texts_of(draft.values) if draft.values is not None else _posted_texts(request)
    context = {
        "draft": draft,
        "problems": spec_check.problems_shown(draft),
        "groups": [
            (group, [(field, texts[field.path]) for field in group.fields]) for group in spec_fields.GROUPS
        ],
        "presets": presets.PRESETS,
        "templates": get_scope(request).seen(Template).select_related("team"),
        "history": origin.template.events.order_by("-id")[:HISTORY_SHOWN] if origin.template else [],
        "source": request.POST.get("source", "fields"),
        "pools": Pool.objects.filter(is_open=True).order_by("name").values_list("name", flat=True),
        "corpora": corpora.listing(settings.CORPUS_ROOT) + datasets.choices(get_scope(request).teams()),
        "teams": get_scope(request).writable_teams(),
        "sweep": sweep_form.of(request.POST),
        "template": {
            name: request.POST.get(f"template_{name}", getattr(origin.template, name, ""))
            for name in ("name", "description")
        },
    }
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    context |= _plan(request, draft) | _differs(draft, origin) | _preview(request, draft, team)
    return render(request, "submit/page.html", context, status=status)


def _preview(request: HttpRequest, draft: Draft, team: Team) -> dict[str, object]:
    """The runs that a sweep of this spec would make; nothing while none is asked for."""
    if "sweep.on" not in request.POST or draft.spec is None:
        return {"preview": {}}
    try:
        seen = sweep_actions.preview(
            spec=draft.spec, values=sweep_form.values_of(request.POST), team=team, owner=request.user
        )
    except SpecError as error:
        return {"preview": {"problems": error.problems}}
    refused = list(seen.refused.items())[:SHOWN]
    return {
        "preview": {"seen": seen, "rungs": seen.rungs[:-1], "points": seen.points[:SHOWN], "refused": refused}
    }


def _differs(draft: Draft, origin: Origin) -> dict[str, object]:
    return {"origin": origin, "differences": origins.differences(origin.values, draft.values)}


def _posted_texts(request: HttpRequest) -> dict[str, str]:
    return spec_fields.texts_of(nested(spec_fields.values_of(request.POST)))


def _plan(request: HttpRequest, draft: Draft) -> dict[str, object]:
    if draft.spec is not None and draft.spec.kind == "fabric_test":
        return {"plan": None, "fabric_sizes": fabric_test.sizes(draft.spec.budget.steps), "spec": draft.spec}
    return plan_panel.of(draft, request.POST)
