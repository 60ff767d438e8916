"""The accounting page: what attempts have cost, as charts, as a table, and as the file of that table."""

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
    chosen = spending.choice(get_scope(request), request.GET)
    total = totals.total(chosen.charges())
    found = spending.Attempts(chosen, total.attempts) if chosen.group == "attempt" else chosen.lines()
    part = Paginator(found, ROWS_A_PAGE).get_page(request.GET.get("page"))
    lines = list(part)
    shown = spending.shown(chosen, lines, total)
    num_names = len(shown.heads) - shown.num_figures
    context = {
        "chosen": chosen,
        "groups": spending.GROUPS,
        "months": spending.months(chosen),
        "pools": Pool.objects.order_by("name").values_list("name", flat=True),
        "total": total,
        "running": spending.running(chosen),
        "drawing": spending.drawing(chosen),
        "page": part,
        "rows": [
            (line, row[:num_names], row[num_names:]) for line, row in zip(lines, shown.rows, strict=True)
        ],
        "names": shown.heads[:num_names],
        "figures": shown.heads[num_names:],
        "runs": spending.runs_of(lines),
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "accounting/_body.html" if is_part else "accounting/page.html", context)


@require_safe
def save(request: HttpRequest) -> HttpResponse:
    """The table of the page with the same address, all of its rows."""
    chosen = spending.choice(get_scope(request), request.GET)
    shown = spending.shown(chosen, chosen.lines(), totals.total(chosen.charges()))
    name = f"accounting-{chosen.month}-by-{chosen.group}.csv"
    return csv_reply(name, [shown.heads, *table.for_csv(shown)])
