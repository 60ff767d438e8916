"""Which device and which parallel scheme: the best plans of a model over the pools that there are and the devices of
the table, held against a budget of time, money and energy."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import Http404
from django.urls import reverse

from dashboard.access import Scope
from dashboard.charts import plots
from dashboard.charts.plots import Dot, Plot
from dashboard.html.format import as_duration, as_kwh, as_money
from engine import planner
from engine.hardware import peaks
from engine.model_math import counts
from engine.planner import Calibration, DeviceProfile, Range
from engine.planner.search import Found, Search
from engine.spec import presets
from engine.spec.spec import Spec, SpecError, parse, with_changes
from jobs.planning import plans
from jobs.pools import pool_settings

MOST_DEVICES = 1024
SCHEMES = 6  # of one device, each another grid or ZeRO stage
J_PER_KWH = 3.6e6
# What of the model may be typed on the page; everything else is the preset's.
CHANGES = (
    "model.layers", "model.width", "model.heads", "model.ffn_width", "model.context", "batch.global_batch_size",
    "precision.dtype",
)  # fmt: skip
BY = {"time": "time", "energy": "energy", "money": "money"}


@dataclass(frozen=True)
class Asked:
    """What the page was asked, as typed, and what it stands for; `problems` by the name of the field."""

    preset: str
    texts: dict[str, str]
    spec: Spec | None
    devices: int
    by: str
    deadline_s: float | None
    money: float | None
    energy_j: float | None
    problems: dict[str, str]


@dataclass(frozen=True)
class Place:
    """Devices that could run it: a pool of ours, or a row of the table that stands nowhere here."""

    title: str
    pool: str  # '' for planned devices
    profile: DeviceProfile | None
    calibration: Calibration | None
    devices: int  # at the most
    why_not: str = ""


@dataclass(frozen=True)
class Row:
    place: Place
    found: Found | None
    scheme: str
    time_s: Range | None
    energy_j: Range | None
    money: Range | None
    tokens_per_s: float | None
    why_not: str  # why it is none: nothing fits, or the budget does not do
    url: str
    is_front: bool = False

    @property
    def standing(self) -> str:
        return self.place.profile.standing if self.place.profile else ""


def asked(query: Mapping[str, str]) -> Asked:
    """Raises Http404 for a preset that is none."""
    preset = query.get("preset", "124m")
    if preset not in presets.PRESETS:
        raise Http404
    base = presets.preset(preset)
    texts = {path: query.get(path, "").strip() for path in CHANGES}
    problems: dict[str, str] = {}
    spec = _spec(base, texts, problems)
    numbers = {
        name: _number(query.get(name, ""), name, problems)
        for name in ("tokens", "deadline_h", "money", "energy_kwh")
    }
    devices = _number(query.get("devices", "") or "8", "devices", problems) or 8
    if devices > MOST_DEVICES:
        problems["devices"] = f"At most {MOST_DEVICES:,} devices are planned for."
    if spec is not None and (tokens := numbers["tokens"]):
        steps = max(1, math.ceil(tokens / counts.tokens_per_step(spec)))
        spec = spec.model_copy(
            update={"budget": spec.budget.model_copy(update={"steps": min(steps, 100_000_000)})}
        )
    texts |= {name: query.get(name, "") for name in numbers} | {"devices": query.get("devices", "8")}
    by = query.get("by", "time")
    deadline_h, energy_kwh = numbers["deadline_h"], numbers["energy_kwh"]
    return Asked(
        preset, texts, None if problems else spec, int(min(devices, MOST_DEVICES)), by if by in BY else "time",
        deadline_h and deadline_h * 3600, numbers["money"], energy_kwh and energy_kwh * J_PER_KWH, problems,
    )  # fmt: skip


def places(scope: Scope, most: int) -> list[Place]:
    """The pools that take jobs of the scope's teams, then every row of the table."""
    teams = list(scope.teams())
    found = []
    for pool in pool_settings.open_to(None):
        if teams and not any(pool_settings.is_allowed(pool, team) for team in teams):
            continue
        profile = plans.profile_of(pool)
        title, here = (profile.name if profile else "unknown device"), plans.num_devices(pool)
        learnt = plans.calibration_of(profile) if profile else None
        why_not = (
            "" if profile else "Not available: its devices have not been probed, and no table knows them."
        )
        found.append(Place(title, pool.name, profile, learnt, min(most, here), why_not))
    rows = [Place(peak.name, "", planner.profile_of(peak), None, most) for peak in peaks.PEAKS]
    return found + rows


def rows(asked: Asked, over: Iterable[Place], schemes: int) -> list[Row]:
    """The best plans of each place; those within the budget first, by what is asked for, then the others."""
    assert asked.spec is not None
    found = [row for place in over for row in _of_place(asked, asked.spec, place, schemes)]
    front = {id(row) for row in pareto(found, asked.by)}
    marked = [replace(row, is_front=id(row) in front) for row in found]
    return sorted(marked, key=lambda row: (bool(row.why_not), row.found is None, _price(row, asked.by)))


def pareto(found: Iterable[Row], by: str) -> list[Row]:
    """Those that no other beats in both time and the other goal (money, else energy)."""
    goal = "money" if by == "money" else "energy_j"
    able = [row for row in found if row.time_s and getattr(row, goal) and not row.why_not]
    return [
        row
        for row in able
        if not any(
            other is not row
            and other.time_s.point <= row.time_s.point  # type: ignore[union-attr]
            and getattr(other, goal).point <= getattr(row, goal).point
            and (other.time_s.point, getattr(other, goal).point)
            != (row.time_s.point, getattr(row, goal).point)  # type: ignore[union-attr]
            for other in able
        )
    ]


def drawing(found: Sequence[Row], by: str) -> Plot | None:
    """Time along x, money or energy along y, both logarithmic; hollow dots are beyond the budget."""
    goal = "money" if by == "money" else "energy_j"
    able = [row for row in found if row.time_s and getattr(row, goal)]
    if not able:
        return None
    write = as_kwh if goal == "energy_j" else lambda value: as_money(value, able[0].place.profile.currency)  # type: ignore[union-attr]
    round_numbers = plots.ENERGIES if goal == "energy_j" else ()
    x = plots.axis(
        [row.time_s.point for row in able if row.time_s],
        as_duration,
        is_x=True,
        round_numbers=plots.DURATIONS,
    )
    y = plots.axis([getattr(row, goal).point for row in able], write, is_x=False, round_numbers=round_numbers)
    dots = [
        Dot(x.at(row.time_s.point), y.at(getattr(row, goal).point), _said(row, goal, write), _tone(row), row.url)
        for row in able if row.time_s
    ]  # fmt: skip
    return Plot(x, y, dots, x_title="time of the whole run", y_title="money" if goal == "money" else "energy")


def _tone(row: Row) -> str:
    return "is-off" if row.why_not else "tone-2" if row.is_front else "tone-1"


def _said(row: Row, goal: str, write: Any) -> str:
    assert row.time_s is not None
    price = write(getattr(row, goal).point)
    return f"{row.place.title}, {row.scheme}: {as_duration(row.time_s.point)}, {price}, {row.standing}"


def _of_place(asked: Asked, spec: Spec, place: Place, schemes: int) -> list[Row]:
    if place.profile is None:
        return [Row(place, None, "", None, None, None, None, place.why_not, "")]
    searched = _searched(spec, place.profile, place.calibration, max(1, place.devices), asked.by, SCHEMES)
    if not searched.best:
        return [Row(place, None, "", None, None, None, None, searched.why_not, "")]
    return [_row(asked, place, found) for found in searched.best[:schemes]]


def _row(asked: Asked, place: Place, found: Found) -> Row:
    steps, spec = found.spec.budget.steps, found.spec
    time_s = found.step_s.scaled(steps) if found.step_s else None
    energy_j = found.energy_j.scaled(steps) if found.energy_j else None
    money = found.money.scaled(steps) if found.money else None
    tokens = counts.tokens_per_step(spec)
    rate = tokens / found.step_s.point if found.step_s else None
    why_not = _beyond(asked, time_s, energy_j, money)
    return Row(
        place, found, scheme_of(spec), time_s, energy_j, money, rate, why_not, _address(asked, place, found)
    )


def _beyond(asked: Asked, time_s: Range | None, energy_j: Range | None, money: Range | None) -> str:
    """What of the budget it would break."""
    if asked.deadline_s and time_s and time_s.point > asked.deadline_s:
        return f"Takes {as_duration(time_s.point)}; there are {as_duration(asked.deadline_s)}."
    if asked.energy_j and energy_j and energy_j.point > asked.energy_j:
        return f"Takes {as_kwh(energy_j.point)}; there are {as_kwh(asked.energy_j)}."
    if asked.money and money and money.point > asked.money:
        return f"Costs {as_money(money.point)}; there is {as_money(asked.money)}."
    return ""


def scheme_of(spec: Spec) -> str:
    """'4 data x 2 tensor, ZeRO 1, micro-batch 4': what is not said is not done."""
    one = spec.parallel
    grid = [
        f"{n} {name}"
        for n, name in ((one.data, "data"), (one.tensor, "tensor"), (one.stages, "stages"))
        if n > 1
    ]
    parts = [
        " × ".join(grid) or "one device",
        f"ZeRO {one.zero_stage}",
        f"micro-batch {spec.batch.micro_batch_size}",
    ]
    if one.activation_checkpointing != "none":
        parts.append(f"{one.activation_checkpointing} recomputation")
    if one.offload_optimiser != "none":
        parts.append(f"optimiser on the {one.offload_optimiser}")
    return ", ".join(parts)


def _address(asked: Asked, place: Place, found: Found) -> str:
    """The submit form with all of it: the preset, what was typed, and the scheme."""
    sets = [f"{path}={text}" for path in CHANGES if (text := asked.texts.get(path))]
    sets += [f"{path}={value}" for path, value in found.changes.items()]
    sets.append(f"budget.steps={found.spec.budget.steps}")
    if place.pool:
        sets.append(f"pool={place.pool}")
    return f"{reverse('submit')}?{urlencode({'preset': asked.preset, 'set': sets}, doseq=True)}"


def _price(row: Row, by: str) -> float:
    span = {"time": row.time_s, "energy": row.energy_j, "money": row.money}[by]
    return span.point if span else math.inf


def _searched(
    spec: Spec, profile: DeviceProfile, calibration: Calibration | None, devices: int, by: str, most: int
) -> Search:
    learnt = json.dumps(calibration.to_json()) if calibration else ""
    return _search(spec.model_dump_json(), json.dumps(profile.to_json()), learnt, devices, by, most)


@functools.lru_cache(maxsize=256)
def _search(spec: str, profile: str, calibration: str, devices: int, by: Any, most: int) -> Search:
    """Kept by what it depends on: another deadline, or the way back, asks for no new search."""
    learnt = Calibration.from_json(json.loads(calibration)) if calibration else None
    whole = DeviceProfile.from_json(json.loads(profile))
    return planner.search(parse(json.loads(spec)), whole, learnt, devices=devices, by=by, most=most)


def _spec(base: Spec, texts: Mapping[str, str], problems: dict[str, str]) -> Spec | None:
    try:
        return parse(
            with_changes(base.model_dump(), [f"{path}={text}" for path, text in texts.items() if text])
        )
    except SpecError as error:
        problems |= {problem.field or "preset": problem.message for problem in error.problems}
        return None


def _number(text: str, name: str, problems: dict[str, str]) -> float | None:
    """A positive number; 1e9 and 1_000 count; nothing typed is None."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        problems[name] = f"'{text[:40]}' is no number above 0."
        return None
    return value
