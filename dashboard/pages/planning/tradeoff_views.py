"""Trade-offs page: runs between two goals and over several fields."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.pages.planning import tradeoffs
from dashboard.pages.table.columns import get_title


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    selection = tradeoffs.read_selection(request)
    context = {
        "shown": selection,
        "data": tradeoffs.build_data(selection),
        "choices": [(str(field), get_title(field)) for field in selection.fields],
        "selected": request.GET.getlist("run"),
        "axes": [(str(field), get_title(field)) for field in selection.axes],
        "runs_limit": tradeoffs.MAX_RUNS,
    }
    return render(request, "planning/tradeoffs.html", context)
