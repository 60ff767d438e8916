"""Views of reports: list, report, editor and preview."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope
from dashboard.html.shown_rows import select_shown
from dashboard.pages.reports import blocks
from dashboard.server.requests import UserRequest
from jobs.models import Report
from jobs.people import sharing

ROWS_SHOWN = 200


@require_safe
def listing(request: UserRequest) -> HttpResponse:
    rows = get_scope(request).seen(Report).select_related("team", "owner")
    found = select_shown(rows, ROWS_SHOWN, request.GET, "reports")
    may_write = get_scope(request).writable_teams().exists()
    return render(request, "reports/list.html", {"reports": found, "may_write": may_write})


@require_safe
def show(request: UserRequest, report_id: str) -> HttpResponse:
    report = get_scope(request).get(Report, report_id)
    context = _build_context(request, report.text) | {
        "report": report,
        "may_write": get_scope(request).can_write(report),
        "may_delete": report.owner_id == request.user.pk
        or sharing.is_lead_or_admin(request.user, report.team),
    }
    return render(request, "reports/show.html", context)


def write(request: UserRequest) -> HttpResponse:
    """Write a new report."""
    team = get_scope(request).get_writable_team(request.POST.get("team"))
    teams = get_scope(request).writable_teams()
    if request.method != "POST":
        return render(request, "reports/edit.html", {"teams": teams})
    title, text = request.POST.get("title", ""), request.POST.get("text", "")
    try:
        report = sharing.create_report(team=team, owner=request.user, title=title, text=text)
    except sharing.SharingError as error:
        context = {"teams": teams, "title": title, "text": text, "problem": error}
        return render(request, "reports/edit.html", context, status=422)
    return redirect("report", report.id)


def change(request: UserRequest, report_id: str) -> HttpResponse:
    report = get_scope(request).get_writable(Report, report_id)
    context = {"report": report, "title": report.title, "text": report.text, "seen": report.version}
    if request.method != "POST":
        return render(request, "reports/edit.html", context)
    texts = {name: request.POST.get(name, "") for name in ("title", "text")}
    seen = request.POST.get("seen", "")
    try:
        version = int(seen) if seen.isdecimal() and len(seen) < 10 else 0
        sharing.change_report(
            report, actor=request.user, base_version=version, title=texts["title"], text=texts["text"]
        )
    except sharing.SharingError as error:
        return render(
            request, "reports/edit.html", context | texts | {"seen": seen, "problem": error}, status=422
        )
    return redirect("report", report.id)


@require_POST
def preview(request: UserRequest) -> HttpResponse:
    """Render the posted text as readers will see it. Nothing is stored."""
    text = request.POST.get("text", "")[: sharing.REPORT_LIMIT]
    return render(request, "reports/_text.html", _build_context(request, text))


@require_POST
def delete(request: UserRequest, report_id: str) -> HttpResponse:
    report = get_scope(request).get_writable(Report, report_id)
    try:
        sharing.delete_report(report, actor=request.user)
    except sharing.SharingError as error:
        messages.error(request, str(error))
        return redirect("report", report.id)
    messages.success(request, f"Report {report.title} is deleted. Its runs are kept.")
    return redirect(reverse("reports"))


def _build_context(request: UserRequest, text: str) -> dict[str, Any]:
    found = blocks.build_blocks(text, get_scope(request))
    return {"blocks": found, "names": blocks.build_chart_names(found)}
