"""The trade-offs page: runs as points between two goals, as lines over several fields, and the front among them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.pages.planning import tradeoffs
from dashboard.pages.table.columns import get_title


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    shown = tradeoffs.asked_for(request)
    context = {
        "shown": shown,
        "data": tradeoffs.figures(shown),
        "choices": [(str(field), get_title(field)) for field in shown.fields],
        "chosen": request.GET.getlist("run"),
        "axes": [(str(field), get_title(field)) for field in shown.axes],
        "runs_limit": tradeoffs.RUNS_LIMIT,
    }
    return render(request, "planning/tradeoffs.html", context)
