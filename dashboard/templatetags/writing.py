"""What people wrote, on pages: Markdown, and the menu of saved views."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

from dashboard.access import get_scope
from dashboard.html import markdown
from jobs.models import SavedView
from jobs.people import sharing

register = template.Library()


@register.filter
def as_markdown(text: str) -> SafeString:
    return mark_safe(markdown.to_html(text))  # the parser lets no HTML of the writer's through


@register.inclusion_tag("parts/saved.html", takes_context=True)
def saved_views(context: Any, page: str) -> dict[str, Any]:
    """The menu of a page's saved views, and the form that saves the next one."""
    request = context["request"]
    scope = get_scope(request)
    views = list(scope.listed(SavedView).filter(page=page))
    here = next((view for view in views if view.id == request.GET.get("view")), None)
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "page": page,
        "views": views,
        "here": here,
        "may_change": here is not None
        and (here.owner_id == request.user.pk or sharing.answers_for(request.user, here.team)),
        "teams": list(scope.writable_teams()),
    }
