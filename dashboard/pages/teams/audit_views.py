"""Page of the audit log, with filters and a CSV export, for admins."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from jobs.accounting.table import escape_formula
from jobs.models import AuditEntry
from jobs.people import audit

ENTRIES_A_PAGE = 100
COLUMNS = ("id", "at", "actor", "address", "code", "target", "values", "sha256")


@require_safe
def audit_log(request: HttpRequest) -> HttpResponseBase:
    get_scope(request).must_be_admin()
    filters = {name: request.GET.get(name, "").strip()[:200] for name in ("actor", "code", "target")}
    rows = _filter(filters)
    if request.GET.get("format") == "csv":
        reply = StreamingHttpResponse(_write_csv(rows), content_type="text/csv; charset=utf-8")
        reply["Content-Disposition"] = 'attachment; filename="audit.csv"'
        return reply
    page = Paginator(rows, ENTRIES_A_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "page": page,
        "entries": [(entry, audit.TITLES.get(entry.code, entry.code)) for entry in page],
        "filters": filters,
        "codes": sorted(audit.TITLES.items(), key=lambda item: item[1]),
        "query": query.urlencode(),
    }
    return render(request, "teams/audit.html", context)


def _filter(filters: dict[str, str]) -> QuerySet[AuditEntry]:
    rows = AuditEntry.objects.order_by("-id")
    if filters["actor"]:
        rows = rows.filter(actor=filters["actor"])
    if filters["code"]:
        rows = rows.filter(code=filters["code"])
    if filters["target"]:
        rows = rows.filter(target__icontains=filters["target"])
    return rows


class _Line:
    """A file for csv that returns each line."""

    def write(self, line: str) -> str:
        return line


def _write_csv(rows: QuerySet[AuditEntry]) -> Iterator[str]:
    writer: Any = csv.writer(_Line())
    yield writer.writerow(COLUMNS)
    for entry in rows.iterator(chunk_size=1000):
        values = "; ".join(f"{key}={value}" for key, value in sorted(entry.values.items()))
        row = [entry.id, entry.at.isoformat(), entry.actor, entry.address, entry.code, entry.target, values]
        yield writer.writerow([*map(escape_formula, map(str, row)), entry.sha256])
