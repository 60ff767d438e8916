"""Accounting page: costs of attempts as charts, table and CSV file."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.accounting import spending
from dashboard.server.replies import csv_reply
from jobs.accounting import table, totals
from jobs.models import Pool

ROWS_A_PAGE = 100


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    selection = spending.read_selection(get_scope(request), request.GET)
    total = totals.total(selection.charges())
    is_by_attempt = selection.group == "attempt"
    rows = spending.AttemptRows(selection, total.attempts) if is_by_attempt else selection.lines()
    part = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    lines = list(part)
    shown = spending.build_table(selection, lines, total)
    num_names = len(shown.headers) - shown.num_value_columns
    context = {
        "selection": selection,
        "groups": spending.GROUPS,
        "months": spending.list_months(selection),
        "pools": Pool.objects.order_by("name").values_list("name", flat=True),
        "total": total,
        "running": spending.sum_running(selection),
        "charts": spending.build_charts(selection),
        "page": part,
        "rows": [
            (line, row[:num_names], row[num_names:]) for line, row in zip(lines, shown.rows, strict=True)
        ],
        "names": shown.headers[:num_names],
        "figures": shown.headers[num_names:],
        "runs": spending.run_by_attempt(lines),
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "accounting/_body.html" if is_part else "accounting/page.html", context)


@require_safe
def save(request: HttpRequest) -> HttpResponse:
    """Export all rows of the page with the same query as CSV."""
    selection = spending.read_selection(get_scope(request), request.GET)
    shown = spending.build_table(selection, selection.lines(), totals.total(selection.charges()))
    name = f"accounting-{selection.month}-by-{selection.group}.csv"
    return csv_reply(name, [shown.headers, *table.csv_rows(shown)])
