"""Views that save, change and delete spec templates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from dashboard.access import get_scope
from dashboard.pages.submit import spec_check, views
from dashboard.server.requests import UserRequest
from engine.spec.spec import Problem, Spec, SpecError
from jobs.models import Team, Template
from jobs.queue import templates
from jobs.states.jobs import StateError


@require_POST
def save(request: UserRequest) -> HttpResponse:
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    return _store(request, team, lambda spec: templates.save(team=team, spec=spec, **_read_details(request)))


@require_POST
def change(request: UserRequest, template_id: str) -> HttpResponse:
    found = get_scope(request).get_writable(Template, template_id)
    seen = request.POST.get("template_version", "")
    version = int(seen) if seen.isdecimal() and len(seen) < 9 else None
    return _store(
        request,
        found.team,
        lambda spec: templates.change(found, spec=spec, base_version=version, **_read_details(request)),
    )


@require_POST
def delete(request: UserRequest, template_id: str) -> HttpResponse:
    found = get_scope(request).get_writable(Template, template_id)
    templates.delete(found, request.user.get_username())
    messages.success(request, f"Template {found.name} is deleted. Jobs made from it keep their spec.")
    return redirect("submit")


def _store(request: UserRequest, team: Team, store: Callable[[Spec], Template]) -> HttpResponse:
    """Store the posted spec. A spec that no pool can run now is stored too; only an invalid one is refused."""
    draft = spec_check.draft_from_post(request.POST, team)
    try:
        if draft.spec is None:
            raise SpecError(draft.problems)
        template = store(draft.spec)
    except SpecError as error:
        refused = dataclasses.replace(draft, problems=error.problems)
        return views.render_page(request, refused, views.posted_origin(request), status=422)
    except StateError as error:
        refused = dataclasses.replace(draft, problems=(Problem("", str(error)),))
        return views.render_page(request, refused, views.posted_origin(request), status=409)
    messages.success(request, f"Template {template.name} is saved.")
    return redirect(f"{reverse('submit')}?template={template.id}")


def _read_details(request: UserRequest) -> dict[str, str]:
    return {
        "name": request.POST.get("template_name", ""),
        "description": request.POST.get("template_description", ""),
        "actor": request.user.get_username(),
    }
