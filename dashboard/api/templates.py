"""Templates: list, save, read, change, delete."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from dashboard.access import get_scope
from dashboard.api.shapes import Refusal, TemplateChange, TemplateIn, TemplateOut, Templates
from engine.spec.spec import parse
from jobs.models import Template
from jobs.queue import templates

router = Router(tags=["templates"])


@router.get("/templates", response=Templates)
def listing(request: HttpRequest) -> dict[str, Any]:
    """Templates of the caller's teams, by name."""
    return {"items": [serialize(template) for template in get_scope(request).listed(Template)]}


@router.post("/templates", response={201: TemplateOut, 422: Refusal})
def save(request: HttpRequest, body: TemplateIn, team: str | None = None) -> Status:
    """Save a spec under a name. Start a job from it with POST /jobs?template=ID."""
    scope = get_scope(request)
    message = {"name": body.name, "description": body.description, "actor": scope.name}
    return Status(
        201, serialize(templates.save(team=scope.get_writable_team(team), spec=parse(body.spec), **message))
    )


@router.get("/templates/{template_id}", response={200: TemplateOut, 404: Refusal})
def one(request: HttpRequest, template_id: str) -> dict[str, Any]:
    return serialize(get_scope(request).get(Template, template_id))


@router.patch(
    "/templates/{template_id}", response={200: TemplateOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def change(request: HttpRequest, template_id: str, body: TemplateChange) -> dict[str, Any]:
    scope = get_scope(request)
    found = scope.get_writable(Template, template_id)
    changed = templates.change(
        found,
        name=found.name if body.name is None else body.name,
        description=found.description if body.description is None else body.description,
        spec=parse(found.spec if body.spec is None else body.spec),
        actor=scope.name,
        base_version=body.version,
    )
    return serialize(changed)


@router.delete("/templates/{template_id}", response={204: None, 404: Refusal})
def delete(request: HttpRequest, template_id: str) -> Status:
    """Delete a template. Jobs that were made from it keep their spec."""
    scope = get_scope(request)
    templates.delete(scope.get_writable(Template, template_id), scope.name)
    return Status(204, None)


def serialize(template: Template) -> dict[str, Any]:
    return {
        "id": template.id,
        "name": template.name,
        "description": template.description,
        "team": template.team.slug,
        "version": template.version,
        "created_by": template.created_by,
        "created_at": template.created_at,
        "changed_by": template.changed_by,
        "changed_at": template.changed_at,
        "spec": template.spec,
    }
