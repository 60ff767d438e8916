"""Advice page: the best devices and layouts for a model within a budget."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.planning import advice
from dashboard.pages.submit import spec_fields
from engine.model_math import counts
from engine.planner.advice import LAYOUTS_PER_DEVICE, rank_choices
from engine.spec import presets
from jobs.planning.device_options import get_device_options


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    form = advice.read_form(request.GET)
    options = get_device_options(get_scope(request).teams(), form.devices)
    by_key = {f"pool:{option.pool}" if option.pool else option.title: option for option in options}
    selected = request.GET.get("on", "") if request.GET.get("on") in by_key else ""
    context: dict[str, Any] = {
        "form": form,
        "presets": presets.PRESETS,
        "fields": [(spec_fields.FIELDS[path], form.texts[path]) for path in advice.SPEC_FIELDS],
        "options": by_key,
        "selected": selected,
        "goals": advice.GOALS,
    }
    if form.spec is not None:
        wanted = [by_key[selected]] if selected else [one for one in options if one.is_common]
        listed, drawn = (
            (LAYOUTS_PER_DEVICE, LAYOUTS_PER_DEVICE) if selected else (1, 2)
        )  # plans of each option
        rows = advice.build_rows(form, rank_choices(form.spec, wanted, form.goal, form.budget, listed))
        drawn_rows = advice.build_rows(form, rank_choices(form.spec, wanted, form.goal, form.budget, drawn))
        context |= {
            "rows": rows,
            "plot": advice.build_plot(
                drawn_rows, form.goal, has_links=bool(get_scope(request).member_team_ids)
            ),
            "num_parameters": counts.parameters(form.spec),
            "num_tokens": counts.tokens_per_step(form.spec) * form.spec.budget.steps,
            "num_able": sum(not row.why_not for row in rows),
        }
    is_part = request.headers.get("HX-Request")
    return render(request, "planning/_advice.html" if is_part else "planning/advice.html", context)
