"""Template tags of texts by users: Markdown and the menu of saved views."""

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
    return mark_safe(markdown.to_html(text))  # the parser escapes raw HTML


@register.inclusion_tag("parts/saved.html", takes_context=True)
def saved_views(context: Any, page: str) -> dict[str, Any]:
    """Show a page's saved views, and the form that saves a new one."""
    request = context["request"]
    scope = get_scope(request)
    views = list(scope.listed(SavedView).filter(page=page))
    current = next((view for view in views if view.id == request.GET.get("view")), None)
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "page": page,
        "views": views,
        "current": current,
        "may_change": current is not None
        and (current.owner_id == request.user.pk or sharing.is_lead_or_admin(request.user, current.team)),
        "teams": list(scope.writable_teams()),
    }
