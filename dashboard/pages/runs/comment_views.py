"""Comments on a run: written, changed and deleted in place."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from jobs.models import Comment, Run
from jobs.people import sharing


@require_safe
def listing(request: HttpRequest, run_id: str) -> HttpResponse:
    return _shown(request, get_scope(request).get(Run, run_id))


@require_POST
def write(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_scope(request).get_writable(Run, run_id)
    text = request.POST.get("text", "")
    try:
        sharing.comment(run, request.user, text)
    except sharing.SharingError as error:
        return _shown(request, run, refused=str(error), draft=text)
    return _shown(request, run)


@require_POST
def change(request: HttpRequest, run_id: str, comment_id: int) -> HttpResponse:
    run = get_scope(request).get_writable(Run, run_id)
    comment, text = _comment(run, comment_id), request.POST.get("text", "")
    try:
        sharing.change_comment(comment, request.user, text)
    except sharing.SharingError as error:
        changing = comment_id if comment.author_id == request.user.pk else 0
        return _shown(request, run, refused=str(error), changing=changing, draft=text)
    return _shown(request, run)


@require_POST
def delete(request: HttpRequest, run_id: str, comment_id: int) -> HttpResponse:
    run = get_scope(request).get_writable(Run, run_id)
    try:
        sharing.delete_comment(_comment(run, comment_id), request.user)
    except sharing.SharingError as error:
        return _shown(request, run, refused=str(error))
    return _shown(request, run)


def _comment(run: Run, comment_id: int) -> Comment:
    found = run.comments.select_related("author", "run__team").filter(id=comment_id).first()
    if found is None:
        raise Http404
    return found


def _shown(
    request: HttpRequest, run: Run, refused: str = "", draft: str = "", changing: int = 0
) -> HttpResponse:
    """The list again, with what was refused still in its field."""
    if not request.headers.get("HX-Request"):
        return redirect(reverse("run", args=[run.id]) + "#comments")
    context = of(request, run) | {"refused": refused, "draft": draft, "changing": changing}
    return render(request, "runs/_comments.html", context)


def of(request: HttpRequest, run: Run) -> dict[str, object]:
    """What the list of comments shows."""
    return {
        "run": run,
        "comments": run.comments.select_related("author"),
        "may_write": get_scope(request).can_write(run),
        "may_delete": sharing.answers_for(request.user, run.team),
    }
