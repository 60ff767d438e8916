"""Form, rows and drawing of the advice page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args
from urllib.parse import urlencode

from django.http import Http404
from django.urls import reverse

from dashboard.charts import plots
from dashboard.charts.plots import Dot, Plot
from dashboard.html.format import as_duration, as_kwh, as_money
from engine.planner import Goal, advice
from engine.planner.advice import BudgetLimits, ExceededLimit, PlanChoice
from engine.spec import presets
from engine.spec.spec import Spec, SpecError, parse, with_changes

MAX_DEVICES = 1024
J_PER_KWH = 3.6e6
# Spec fields that can be typed on the page; all others come from the preset.
SPEC_FIELDS = (
    "model.layers", "model.width", "model.heads", "model.ffn_width", "model.context", "batch.global_batch_size",
    "precision.dtype",
)  # fmt: skip
GOALS: tuple[Goal, ...] = get_args(Goal)


@dataclass(frozen=True)
class AdviceForm:
    """The form as typed and its values; `problems` by the name of the field."""

    preset: str
    texts: dict[str, str]
    spec: Spec | None
    devices: int
    goal: Goal
    budget: BudgetLimits
    problems: dict[str, str]


@dataclass(frozen=True)
class AdviceRow:
    """One plan as the table shows it."""

    choice: PlanChoice
    layout: str
    why_not: str  # why there is no plan, or which limit it exceeds
    url: str  # submit form with this plan; '' without one

    @property
    def standing(self) -> str:
        profile = self.choice.option.profile
        return profile.standing if profile else ""


def read_form(query: Mapping[str, str]) -> AdviceForm:
    """Raises Http404 for an unknown preset."""
    preset = query.get("preset", "124m")
    if preset not in presets.PRESETS:
        raise Http404
    texts = {path: query.get(path, "").strip() for path in SPEC_FIELDS}
    problems: dict[str, str] = {}
    spec = _read_spec(presets.preset(preset), texts, problems)
    numbers = {
        name: _read_number(query.get(name, ""), name, problems)
        for name in ("tokens", "deadline_h", "money", "energy_kwh")
    }
    devices = _read_number(query.get("devices", "") or "8", "devices", problems) or 8
    if devices > MAX_DEVICES:
        problems["devices"] = f"The limit is {MAX_DEVICES:,} devices."
    if spec is not None and (tokens := numbers["tokens"]):
        spec = advice.with_token_budget(spec, tokens)
    texts |= {name: query.get(name, "") for name in numbers} | {"devices": query.get("devices", "8")}
    deadline_h, energy_kwh = numbers["deadline_h"], numbers["energy_kwh"]
    return AdviceForm(
        preset=preset,
        texts=texts,
        spec=None if problems else spec,
        devices=int(min(devices, MAX_DEVICES)),
        goal=next((goal for goal in GOALS if goal == query.get("by")), "time"),
        budget=BudgetLimits(
            time_s=deadline_h and deadline_h * 3600,
            energy_j=energy_kwh and energy_kwh * J_PER_KWH,
            money=numbers["money"],
        ),
        problems=problems,
    )


def build_rows(form: AdviceForm, choices: Sequence[PlanChoice]) -> list[AdviceRow]:
    return [_build_row(form, choice) for choice in choices]


def build_plot(rows: Sequence[AdviceRow], goal: Goal, *, has_links: bool = True) -> Plot | None:
    """Draw time along x and money or energy along y, both logarithmic; hollow dots exceed the budget."""
    cost = advice.cost_goal(goal)
    points = [
        (row, row.choice.time_s.point, estimate.point)
        for row in rows
        if row.choice.time_s and (estimate := row.choice.estimate(cost))
    ]
    if not points:
        return None
    x = plots.axis([time_s for _, time_s, _ in points], as_duration, is_x=True, round_numbers=plots.DURATIONS)
    round_numbers = plots.ENERGIES if cost == "energy" else ()
    first = points[0][0]
    y = plots.axis(
        [price for _, _, price in points],
        lambda price: _cost_text(first, cost, price),
        is_x=False,
        round_numbers=round_numbers,
    )
    dots = [
        Dot(
            x.at(time_s),
            y.at(price),
            f"{row.choice.option.title}, {row.layout}: {as_duration(time_s)}, {_cost_text(first, cost, price)}, "
            f"{row.standing}",
            _tone(row),
            row.url if has_links else "",
        )
        for row, time_s, price in points
    ]
    return Plot(x, y, dots, x_title="time of the whole run", y_title=cost)


def _build_row(form: AdviceForm, choice: PlanChoice) -> AdviceRow:
    if choice.candidate is None:
        return AdviceRow(choice, "", choice.why_not, "")
    layout = advice.describe_layout(choice.candidate.spec)
    why_not = _exceeded_text(choice.exceeded) if choice.exceeded else ""
    return AdviceRow(choice, layout, why_not, _submit_address(form, choice))


def _cost_text(row: AdviceRow, cost: Goal, price: float) -> str:
    if cost == "energy":
        return as_kwh(price)
    profile = row.choice.option.profile
    return as_money(price, profile.currency if profile else "")


def _tone(row: AdviceRow) -> str:
    return "is-off" if row.why_not else "tone-2" if row.choice.is_on_front else "tone-1"


def _exceeded_text(exceeded: ExceededLimit) -> str:
    write = {"time": as_duration, "energy": as_kwh, "money": as_money}[exceeded.goal]
    verb = "Costs" if exceeded.goal == "money" else "Takes"
    return f"{verb} {write(exceeded.needed)}; the limit is {write(exceeded.limit)}."


def _submit_address(form: AdviceForm, choice: PlanChoice) -> str:
    """The submit form with the preset, the typed fields and the layout."""
    assert choice.candidate is not None
    sets = [f"{path}={text}" for path in SPEC_FIELDS if (text := form.texts.get(path))]
    sets += [f"{path}={value}" for path, value in choice.candidate.changes.items()]
    sets.append(f"budget.steps={choice.candidate.spec.budget.steps}")
    if choice.option.pool:
        sets.append(f"pool={choice.option.pool}")
    return f"{reverse('submit')}?{urlencode({'preset': form.preset, 'set': sets}, doseq=True)}"


def _read_spec(base: Spec, texts: Mapping[str, str], problems: dict[str, str]) -> Spec | None:
    changes = [f"{path}={text}" for path, text in texts.items() if text]
    try:
        return parse(with_changes(base.model_dump(), changes))
    except SpecError as error:
        problems |= {problem.field or "preset": problem.message for problem in error.problems}
        return None


def _read_number(text: str, name: str, problems: dict[str, str]) -> float | None:
    """Read a positive number, such as 1e9 or 1_000; None for an empty field."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        problems[name] = f"'{text[:40]}' is not a number above 0."
        return None
    return value
