"""Best plans over several devices, ranked and held against a budget."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine.hardware import peaks
from engine.model_math import counts
from engine.planner.calibration import Calibration
from engine.planner.estimate import Estimate
from engine.planner.profile import HardwareProfile, profile_from_peak
from engine.planner.search import Goal, PlanCandidate, SearchResult, search
from engine.spec.spec import Spec, parse

COMMON_DEVICES = (  # searched where no device is chosen; a search over all rows takes three times as long
    "B300 SXM", "B200 SXM", "H200 SXM", "H100 SXM", "H100 PCIe", "A100 SXM 80", "A100 PCIe 80", "A10G", "L40S", "L4",
    "RTX 5090", "RTX 4090", "T4", "MI300X",
)  # fmt: skip
LAYOUTS_PER_DEVICE = 6  # each with another grid or ZeRO stage
MAX_STEPS = 100_000_000


@dataclass(frozen=True)
class BudgetLimits:
    """Upper limits for the whole run; None: no limit."""

    time_s: float | None = None
    energy_j: float | None = None
    money: float | None = None


@dataclass(frozen=True)
class ExceededLimit:
    """The first limit of a budget that a plan exceeds."""

    goal: Goal
    needed: float
    limit: float


@dataclass(frozen=True)
class DeviceOption:
    """Devices that could run a spec: those of a pool, or of a row in the table of peaks."""

    title: str
    pool: str  # '' for devices outside all pools
    profile: HardwareProfile | None
    calibration: Calibration | None
    max_devices: int
    why_not: str = ""  # why nothing can be planned for it

    @property
    def is_common(self) -> bool:
        return bool(self.pool) or self.title in COMMON_DEVICES


@dataclass(frozen=True)
class PlanChoice:
    """One plan of a device option, with the estimates of the whole run."""

    option: DeviceOption
    candidate: PlanCandidate | None
    time_s: Estimate | None = None
    energy_j: Estimate | None = None
    money: Estimate | None = None
    tokens_per_s: float | None = None
    exceeded: ExceededLimit | None = None
    why_not: str = ""  # why there is no candidate
    is_on_front: bool = False

    @property
    def is_within_budget(self) -> bool:
        return self.candidate is not None and self.exceeded is None

    def estimate(self, goal: Goal) -> Estimate | None:
        return {"time": self.time_s, "energy": self.energy_j, "money": self.money}[goal]


def options_from_peaks(max_devices: int) -> list[DeviceOption]:
    """One option for each row of the table of peaks."""
    return [DeviceOption(peak.name, "", profile_from_peak(peak), None, max_devices) for peak in peaks.PEAKS]


def with_token_budget(spec: Spec, tokens: float) -> Spec:
    """Return the spec with as many steps as the tokens need."""
    steps = min(max(1, math.ceil(tokens / counts.tokens_per_step(spec))), MAX_STEPS)
    return spec.model_copy(update={"budget": spec.budget.model_copy(update={"steps": steps})})


def rank_choices(
    spec: Spec, options: Iterable[DeviceOption], goal: Goal, budget: BudgetLimits, layouts: int = 1
) -> list[PlanChoice]:
    """Return the best `layouts` plans of each option, at most LAYOUTS_PER_DEVICE: those within the budget first, each
    part ordered by the goal. Plans on the Pareto front are marked."""
    found = [choice for option in options for choice in _choices(spec, option, goal, budget, layouts)]
    front = {id(choice) for choice in pareto_front(found, goal)}
    marked = [replace(choice, is_on_front=id(choice) in front) for choice in found]
    return sorted(marked, key=lambda one: (not one.is_within_budget, one.candidate is None, _cost(one, goal)))


def pareto_front(choices: Sequence[PlanChoice], goal: Goal) -> list[PlanChoice]:
    """Choices within the budget that no other beats in both time and cost: money, or energy for the other goals."""
    able = []
    for choice in choices:
        cost = choice.estimate(cost_goal(goal))
        if choice.is_within_budget and choice.time_s and cost:
            able.append((choice, (choice.time_s.point, cost.point)))
    return [choice for choice, point in able if not any(_dominates(other, point) for _, other in able)]


def cost_goal(goal: Goal) -> Goal:
    """The goal that is weighed against time."""
    return "money" if goal == "money" else "energy"


def exceeded_limit(choice: PlanChoice, budget: BudgetLimits) -> ExceededLimit | None:
    limits: tuple[tuple[Goal, float | None], ...] = (
        ("time", budget.time_s), ("energy", budget.energy_j), ("money", budget.money),
    )  # fmt: skip
    for goal, limit in limits:
        needed = choice.estimate(goal)
        if limit and needed and needed.point > limit:
            return ExceededLimit(goal, needed.point, limit)
    return None


def describe_layout(spec: Spec) -> str:
    """Describe a layout, such as '4 data × 2 tensor, ZeRO 1, micro-batch 4'; defaults are left out."""
    parallel = spec.parallel
    sizes = ((parallel.data, "data"), (parallel.tensor, "tensor"), (parallel.stages, "stages"))
    grid = [f"{size} {name}" for size, name in sizes if size > 1]
    parts = [
        " × ".join(grid) or "one device",
        f"ZeRO {parallel.zero_stage}",
        f"micro-batch {spec.batch.micro_batch_size}",
    ]
    if parallel.activation_checkpointing != "none":
        parts.append(f"{parallel.activation_checkpointing} recomputation")
    if parallel.offload_optimiser != "none":
        parts.append(f"optimiser on the {parallel.offload_optimiser}")
    return ", ".join(parts)


def _choices(
    spec: Spec, option: DeviceOption, goal: Goal, budget: BudgetLimits, layouts: int
) -> list[PlanChoice]:
    if option.profile is None:
        return [PlanChoice(option, None, why_not=option.why_not)]
    found = _search(spec, option.profile, option.calibration, max(1, option.max_devices), goal)
    if not found.best:
        return [PlanChoice(option, None, why_not=found.why_not)]
    return [_build_choice(option, candidate, budget) for candidate in found.best[:layouts]]


def _build_choice(option: DeviceOption, candidate: PlanCandidate, budget: BudgetLimits) -> PlanChoice:
    steps, step_s = candidate.spec.budget.steps, candidate.step_s
    choice = PlanChoice(
        option=option,
        candidate=candidate,
        time_s=step_s.scaled(steps) if step_s else None,
        energy_j=candidate.energy_j.scaled(steps) if candidate.energy_j else None,
        money=candidate.money.scaled(steps) if candidate.money else None,
        tokens_per_s=counts.tokens_per_step(candidate.spec) / step_s.point if step_s else None,
    )
    return replace(choice, exceeded=exceeded_limit(choice, budget))


def _dominates(point: tuple[float, float], other: tuple[float, float]) -> bool:
    return point != other and point[0] <= other[0] and point[1] <= other[1]


def _cost(choice: PlanChoice, goal: Goal) -> float:
    estimate = choice.estimate(goal)
    return estimate.point if estimate else math.inf


def _search(
    spec: Spec, profile: HardwareProfile, calibration: Calibration | None, devices: int, goal: Goal
) -> SearchResult:
    corrections = json.dumps(calibration.to_json()) if calibration else ""
    return _cached_search(spec.model_dump_json(), json.dumps(profile.to_json()), corrections, devices, goal)


@functools.lru_cache(maxsize=256)
def _cached_search(spec: str, profile: str, calibration: str, devices: int, goal: Goal) -> SearchResult:
    """Cached by all that the result depends on, so that another budget needs no new search."""
    return search(
        parse(json.loads(spec)),
        HardwareProfile.from_json(json.loads(profile)),
        Calibration.from_json(json.loads(calibration)) if calibration else None,
        devices=devices,
        goal=goal,
        limit=LAYOUTS_PER_DEVICE,
    )
