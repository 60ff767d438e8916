"""Views of comments on a run: list, write, change, delete."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.server.requests import UserRequest
from jobs.models import Comment, Run
from jobs.people import sharing


@require_safe
def listing(request: UserRequest, run_id: str) -> HttpResponse:
    return _render(request, get_scope(request).get(Run, run_id))


@require_POST
def write(request: UserRequest, run_id: str) -> HttpResponse:
    run = get_scope(request).get_writable(Run, run_id)
    text = request.POST.get("text", "")
    try:
        sharing.add_comment(run, request.user, text)
    except sharing.SharingError as error:
        return _render(request, run, problem=str(error), draft=text)
    return _render(request, run)


@require_POST
def change(request: UserRequest, run_id: str, comment_id: int) -> HttpResponse:
    run = get_scope(request).get_writable(Run, run_id)
    comment, text = _get_comment(run, comment_id), request.POST.get("text", "")
    try:
        sharing.change_comment(comment, request.user, text)
    except sharing.SharingError as error:
        changing = comment_id if comment.author_id == request.user.pk else 0
        return _render(request, run, problem=str(error), changing=changing, draft=text)
    return _render(request, run)


@require_POST
def delete(request: UserRequest, run_id: str, comment_id: int) -> HttpResponse:
    run = get_scope(request).get_writable(Run, run_id)
    try:
        sharing.delete_comment(_get_comment(run, comment_id), request.user)
    except sharing.SharingError as error:
        return _render(request, run, problem=str(error))
    return _render(request, run)


def _get_comment(run: Run, comment_id: int) -> Comment:
    found = run.comments.select_related("author", "run__team").filter(id=comment_id).first()
    if found is None:
        raise Http404
    return found


def _render(
    request: UserRequest, run: Run, problem: str = "", draft: str = "", changing: int = 0
) -> HttpResponse:
    """Show the list, with the refused text still in its field."""
    if not request.headers.get("HX-Request"):
        return redirect(reverse("run", args=[run.id]) + "#comments")
    context = build_context(request, run) | {"problem": problem, "draft": draft, "changing": changing}
    return render(request, "runs/_comments.html", context)


def build_context(request: UserRequest, run: Run) -> dict[str, object]:
    """Return the context of runs/_comments.html."""
    return {
        "run": run,
        "comments": run.comments.select_related("author"),
        "may_write": get_scope(request).can_write(run),
        "may_delete": sharing.is_lead_or_admin(request.user, run.team),
    }
