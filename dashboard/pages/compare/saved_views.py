"""Saved views: the state of a page under a name and a short address."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.server.requests import UserRequest
from jobs.models import SavedView
from jobs.people import sharing


@require_safe
def show(request: UserRequest, view_id: str) -> HttpResponse:
    """Redirect to the page in its saved state."""
    return redirect(address(get_scope(request).get(SavedView, view_id)))


@require_POST
def save(request: UserRequest) -> HttpResponse:
    """Save a view of a page; return to the page when it is refused."""
    page, query = request.POST.get("page", ""), request.POST.get("query", "")
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    try:
        name = request.POST.get("name", "")
        view = sharing.save_view(team=team, owner=request.user, page=page, name=name, query=query)
    except sharing.SharingError as error:
        messages.error(request, str(error))
        return redirect(
            f"{reverse(page if page in sharing.SavedPage.values else 'runs')}?{query.lstrip('?')}"
        )
    messages.success(request, f"View {view.name} is saved for team {team.name}.")
    return redirect(address(view))


@require_POST
def change(request: UserRequest, view_id: str) -> HttpResponse:
    view = get_scope(request).get_writable(SavedView, view_id)
    try:
        sharing.change_view(view, actor=request.user, query=request.POST.get("query", ""))
        messages.success(request, f"View {view.name} now shows this.")
    except sharing.SharingError as error:
        messages.error(request, str(error))
    return redirect(reverse("saved-view", args=[view.id]))


@require_POST
def delete(request: UserRequest, view_id: str) -> HttpResponse:
    view = get_scope(request).get_writable(SavedView, view_id)
    try:
        sharing.delete_view(view, actor=request.user)
        messages.success(request, f"View {view.name} is deleted. What it showed is untouched.")
    except sharing.SharingError as error:
        messages.error(request, str(error))
    return redirect(f"{reverse(view.page)}?{view.query}")


def address(view: SavedView) -> str:
    return f"{reverse(view.page)}?{view.query}{'&' if view.query else ''}view={view.id}"
