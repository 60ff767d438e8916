"""Templates: saved, changed and deleted from the submit page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from dashboard.access import get_scope
from dashboard.pages.submit import spec_check, views
from engine.spec.spec import Problem, Spec, SpecError
from jobs.models import Team, Template
from jobs.queue import templates
from jobs.states.jobs import StateError


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    return _kept(request, team, lambda spec: templates.save(team=team, spec=spec, **_said(request)))


@require_POST
def change(request: HttpRequest, template_id: str) -> HttpResponse:
    found = get_scope(request).get_writable(Template, template_id)
    seen = request.POST.get("template_version", "")
    version = int(seen) if seen.isdecimal() and len(seen) < 9 else None
    return _kept(
        request, found.team, lambda spec: templates.change(found, spec=spec, seen=version, **_said(request))
    )


@require_POST
def delete(request: HttpRequest, template_id: str) -> HttpResponse:
    found = get_scope(request).get_writable(Template, template_id)
    templates.delete(found, request.user.get_username())
    messages.success(
        request, f"Template {found.name} is deleted. Jobs that were made from it keep their spec."
    )
    return redirect("submit")


def _kept(request: HttpRequest, team: Team, keep: Callable[[Spec], Template]) -> HttpResponse:
    """A spec that no pool could run just now may be kept all the same: only what cannot be read is refused."""
    draft = spec_check.draft_from(request.POST, team)
    try:
        if draft.spec is None:
            raise SpecError(draft.problems)
        template = keep(draft.spec)
    except SpecError as error:
        wrong = dataclasses.replace(draft, problems=error.problems)
        return views.page(request, wrong, views.posted_origin(request), status=422)
    except StateError as error:
        wrong = dataclasses.replace(draft, problems=(Problem("", str(error)),))
        return views.page(request, wrong, views.posted_origin(request), status=409)
    messages.success(request, f"Template {template.name} is saved.")
    return redirect(f"{reverse('submit')}?template={template.id}")


def _said(request: HttpRequest) -> dict[str, str]:
    return {
        "name": request.POST.get("template_name", ""),
        "description": request.POST.get("template_description", ""),
        "actor": request.user.get_username(),
    }
