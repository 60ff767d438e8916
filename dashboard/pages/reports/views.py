"""Reports: a list, one to read, one to write, and how it would look while it is written."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.pages.reports import blocks
from jobs.models import Report
from jobs.people import sharing

ROWS_LIMIT = 200


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    found = get_scope(request).seen(Report).select_related("team", "owner")[:ROWS_LIMIT]
    may_write = get_scope(request).writable_teams().exists()
    return render(request, "reports/list.html", {"reports": found, "may_write": may_write})


@require_safe
def show(request: HttpRequest, report_id: str) -> HttpResponse:
    report = get_scope(request).get(Report, report_id)
    context = _text(request, report.text) | {
        "report": report,
        "may_write": get_scope(request).can_write(report),
        "may_delete": report.owner_id == request.user.pk or sharing.answers_for(request.user, report.team),
    }
    return render(request, "reports/show.html", context)


def write(request: HttpRequest) -> HttpResponse:
    """A new one."""
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    teams = get_scope(request).writable_teams()
    if request.method != "POST":
        return render(request, "reports/edit.html", {"teams": teams})
    title, text = request.POST.get("title", ""), request.POST.get("text", "")
    try:
        report = sharing.write_report(team=team, owner=request.user, title=title, text=text)
    except sharing.SharingError as error:
        context = {"teams": teams, "title": title, "text": text, "problem": error}
        return render(request, "reports/edit.html", context, status=422)
    return redirect("report", report.id)


def change(request: HttpRequest, report_id: str) -> HttpResponse:
    report = get_scope(request).get_writable(Report, report_id)
    context = {"report": report, "title": report.title, "text": report.text, "seen": report.version}
    if request.method != "POST":
        return render(request, "reports/edit.html", context)
    said = {name: request.POST.get(name, "") for name in ("title", "text")}
    seen = request.POST.get("seen", "")
    try:
        version = int(seen) if seen.isdecimal() and len(seen) < 10 else 0
        sharing.change_report(report, actor=request.user, seen=version, **said)
    except sharing.SharingError as error:
        return render(
            request, "reports/edit.html", context | said | {"seen": seen, "problem": error}, status=422
        )
    return redirect("report", report.id)


@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """The text as readers would see it; nothing is kept."""
    text = request.POST.get("text", "")[: sharing.REPORT_LIMIT]
    return render(request, "reports/_text.html", _text(request, text))


@require_POST
def delete(request: HttpRequest, report_id: str) -> HttpResponse:
    report = get_scope(request).get_writable(Report, report_id)
    try:
        sharing.delete_report(report, actor=request.user)
    except sharing.SharingError as error:
        messages.error(request, str(error))
        return redirect("report", report.id)
    messages.success(request, f"Report {report.title} is deleted. Its runs are untouched.")
    return redirect(reverse("reports"))


def _text(request: HttpRequest, text: str) -> dict[str, Any]:
    found = blocks.pieces(text, get_scope(request))
    return {"pieces": found, "names": blocks.names_of(found)}
