"""The advice page: which device, and which parallel scheme on one, for a model and a budget."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.planning import advice
from dashboard.pages.submit import spec_fields
from engine.model_math import counts
from engine.spec import presets


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    asked = advice.asked(request.GET)
    over = advice.places(get_scope(request), asked.devices)
    keys = [f"pool:{place.pool}" if place.pool else place.title for place in over]
    chosen = request.GET.get("on", "") if request.GET.get("on") in keys else ""
    context: dict[str, Any] = {
        "asked": asked,
        "presets": presets.PRESETS,
        "fields": [(spec_fields.FIELDS[path], asked.texts[path]) for path in advice.CHANGES],
        "places": list(zip(keys, over, strict=True)),
        "chosen": chosen,
        "goals": advice.BY,
    }
    if asked.spec is not None:
        wanted = [place for key, place in zip(keys, over, strict=True) if not chosen or key == chosen]
        rows = advice.rows(asked, wanted, advice.SCHEMES if chosen else 1)
        drawn = rows if chosen else advice.rows(asked, wanted, 2)
        context |= {
            "rows": rows,
            "plot": advice.drawing(drawn, asked.by),
            "num_parameters": counts.parameters(asked.spec),
            "num_tokens": counts.tokens_per_step(asked.spec) * asked.spec.budget.steps,
            "num_able": sum(not row.why_not for row in rows),
        }
    is_part = request.headers.get("HX-Request")
    return render(request, "planning/_advice.html" if is_part else "planning/advice.html", context)
