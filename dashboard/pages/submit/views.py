"""Views of the submit page, which checks a spec while it is edited."""

from __future__ import annotations

import dataclasses

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.access import get_scope
from dashboard.html.shown_rows import select_shown
from dashboard.pages.submit import origins, plan_panel, spec_check, spec_fields, sweep_form
from dashboard.pages.submit.origins import SpecOrigin
from dashboard.pages.submit.spec_check import Draft
from dashboard.server.replies import json_reply
from dashboard.server.requests import UserRequest
from engine.data import corpora
from engine.hardware import fabric_test
from engine.spec import presets
from engine.spec.spec import SpecError, nested
from jobs import datasets
from jobs.models import Pool, Team, Template
from jobs.queue import job_actions
from jobs.sweeps import sweep_actions

HISTORY_SHOWN = 10
POINTS_SHOWN = 50  # of a sweep


@require_http_methods(["GET", "HEAD", "POST"])
def submit(request: UserRequest) -> HttpResponse:
    if request.method != "POST" and not get_scope(request).member_team_ids:
        return render(request, "submit/not_a_member.html", status=403)
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    if request.method != "POST":
        origin = origins.origin_from_query(get_scope(request), request.GET)
        values = origins.apply_changes(origin, request.GET.getlist("set"))
        return render_page(request, spec_check.draft_from_values(values, team), origin)
    draft, origin = spec_check.draft_from_post(request.POST, team), posted_origin(request)
    if draft.spec is None or draft.problems:
        return render_page(request, draft, origin, status=422)
    try:
        job = job_actions.submit(
            spec=draft.spec, team=team, owner=request.user, cloned_from=origin.run, template=origin.template
        )
    except SpecError as error:  # the pool changed after the check
        return render_page(request, dataclasses.replace(draft, problems=error.problems), origin, status=422)
    messages.success(request, f"{job.name} is in the queue of pool {job.pool.name}.")
    return redirect("run", job.run.id)


@require_POST
def check(request: UserRequest) -> HttpResponse:
    """Return the updated page contents after an edit as JSON: both notations, problems and plan."""
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    draft = spec_check.draft_from_post(request.POST, team)
    return json_reply(
        {
            "yaml": draft.yaml,
            "values": None if draft.values is None else spec_fields.texts_from_values(draft.values),
            "problems": spec_check.list_problems(draft),
            "note": draft.note,
            "plan": render_to_string("submit/_plan.html", _build_plan(request, draft)),
            "sweep": render_to_string("submit/_sweep_preview.html", _build_preview(request, draft, team)),
            "differs": render_to_string(
                "submit/_differs.html", _build_differences(draft, posted_origin(request))
            ),
        }
    )


def posted_origin(request: UserRequest) -> SpecOrigin:
    """Return the origin of the posted spec, or the default preset if it was deleted meanwhile."""
    try:
        return origins.get_origin(get_scope(request), request.POST.get("origin", ""))
    except Http404:
        return origins.get_origin(get_scope(request), f"preset:{origins.DEFAULT_PRESET}")


def render_page(request: UserRequest, draft: Draft, origin: SpecOrigin, status: int = 200) -> HttpResponse:
    texts = (
        spec_fields.texts_from_values(draft.values) if draft.values is not None else _posted_texts(request)
    )
    context = {
        "draft": draft,
        "problems": spec_check.list_problems(draft),
        "groups": [
            (group, [(field, texts[field.path]) for field in group.fields]) for group in spec_fields.GROUPS
        ],
        "presets": presets.PRESETS,
        "templates": get_scope(request).seen(Template).select_related("team"),
        "history": select_shown(origin.template.events.order_by("-id"), HISTORY_SHOWN)
        if origin.template
        else [],
        "source": request.POST.get("source", "fields"),
        "pools": Pool.objects.filter(is_open=True).order_by("name").values_list("name", flat=True),
        "corpora": corpora.list_corpora(settings.CORPUS_ROOT)
        + datasets.corpus_choices(get_scope(request).teams()),
        "teams": get_scope(request).writable_teams(),
        "sweep": sweep_form.build_form(request.POST),
        "template": {
            name: request.POST.get(f"template_{name}", getattr(origin.template, name, ""))
            for name in ("name", "description")
        },
    }
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    context |= (
        _build_plan(request, draft) | _build_differences(draft, origin) | _build_preview(request, draft, team)
    )
    return render(request, "submit/page.html", context, status=status)


def _build_preview(request: UserRequest, draft: Draft, team: Team) -> dict[str, object]:
    """Return the runs of the sweep; nothing if no sweep is requested."""
    if "sweep.on" not in request.POST or draft.spec is None:
        return {"preview": {}}
    try:
        preview = sweep_actions.preview(
            spec=draft.spec, values=sweep_form.values_from_post(request.POST), team=team, owner=request.user
        )
    except SpecError as error:
        return {"preview": {"problems": error.problems}}
    return {
        "preview": {
            "sweep": preview,
            "rungs": preview.rungs[:-1],
            "points": select_shown(preview.points, POINTS_SHOWN),
            "refused": select_shown(list(preview.refused.items()), POINTS_SHOWN),
        }
    }


def _build_differences(draft: Draft, origin: SpecOrigin) -> dict[str, object]:
    return {"origin": origin, "differences": origins.find_differences(origin.values, draft.values)}


def _posted_texts(request: UserRequest) -> dict[str, str]:
    return spec_fields.texts_from_values(nested(spec_fields.values_from_post(request.POST)))


def _build_plan(request: UserRequest, draft: Draft) -> dict[str, object]:
    if draft.spec is not None and draft.spec.kind == "fabric_test":
        return {
            "plan": None,
            "fabric_sizes": fabric_test.message_sizes(draft.spec.budget.steps),
            "spec": draft.spec,
        }
    return plan_panel.build_context(draft, request.POST)
