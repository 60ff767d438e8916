"""Advice of the planner: ranking over devices, budget limits and the Pareto front."""

from __future__ import annotations

import dataclasses

import pytest

from engine.hardware.peaks import PEAKS
from engine.model_math import counts
from engine.planner import Estimate, HardwareProfile, PlanCandidate, advice, profile_from_peak
from engine.planner.advice import BudgetLimits, DeviceOption, ExceededLimit, PlanChoice
from engine.spec.presets import preset
from engine.spec.spec import Spec, parse

NO_LIMITS = BudgetLimits()


def option(name: str, price: float | None = None, max_devices: int = 8) -> DeviceOption:
    profile = profile_from_peak(next(peak for peak in PEAKS if peak.name == name))
    priced = dataclasses.replace(profile, price_per_device_hour=price, currency="EUR")
    return DeviceOption(name, "", priced, None, max_devices)


def choice(time_s: float, energy_j: float | None, money: float | None = None) -> PlanChoice:
    candidate = PlanCandidate(Spec(), {}, 0.0, "fits", None, None, None)
    estimates = [None if value is None else Estimate.exactly(value) for value in (time_s, energy_j, money)]
    return PlanChoice(option("T4"), candidate, *estimates)


def test_choices_are_ordered_by_the_goal():
    options = [option("L4", price=0.5), option("H200 SXM", price=5.0), option("A100 SXM 80", price=2.0)]
    for goal in ("time", "energy", "money"):
        found = advice.rank_choices(preset("124m"), options, goal, NO_LIMITS)
        costs = [one.estimate(goal).point for one in found]
        assert costs == sorted(costs) and len(costs) == 3


def test_estimates_are_those_of_the_whole_run():
    spec = advice.with_token_budget(preset("124m"), 1e9)
    [found] = advice.rank_choices(spec, [option("H100 SXM", price=2.0)], "time", NO_LIMITS)
    steps = spec.budget.steps
    assert found.time_s.point == pytest.approx(steps * found.candidate.step_s.point)
    assert found.money.point == pytest.approx(steps * found.candidate.money.point)
    assert found.tokens_per_s == pytest.approx(1e9 / found.time_s.point, rel=1e-3)


def test_each_option_gives_as_many_layouts_as_asked_for():
    found = advice.rank_choices(preset("1.3b"), [option("H100 SXM")], "time", NO_LIMITS, layouts=4)
    layouts = [advice.describe_layout(one.candidate.spec) for one in found]
    assert len(layouts) == len(set(layouts)) == 4


def test_choices_over_the_budget_come_last_with_the_limit_they_exceed():
    options = [option("L4"), option("H200 SXM")]
    fast, slow = advice.rank_choices(preset("350m"), options, "time", NO_LIMITS)
    limit_s = (fast.time_s.point + slow.time_s.point) / 2
    found = advice.rank_choices(preset("350m"), options[::-1], "time", BudgetLimits(time_s=limit_s))
    assert [one.is_within_budget for one in found] == [True, False]
    exceeded = found[1].exceeded
    assert (exceeded.goal, exceeded.limit) == ("time", limit_s) and exceeded.needed > limit_s
    assert not found[1].is_on_front


@pytest.mark.parametrize(
    ("budget", "goal"),
    [
        (BudgetLimits(time_s=9), "time"),
        (BudgetLimits(energy_j=90), "energy"),
        (BudgetLimits(money=900), "money"),
        (BudgetLimits(9, 90, 900), "time"),
        (BudgetLimits(10, 100, 1000), None),
        (NO_LIMITS, None),
    ],
)
def test_a_limit_is_exceeded_by_more_and_not_by_as_much(budget: BudgetLimits, goal: str | None):
    found = advice.exceeded_limit(choice(10, 100, 1000), budget)
    assert (found.goal if found else None) == goal


def test_what_is_not_known_exceeds_no_limit():
    assert advice.exceeded_limit(choice(10, None), BudgetLimits(energy_j=1, money=1)) is None


def test_the_front_holds_what_no_other_beats_in_time_and_cost():
    cheap, fast, beaten, both = choice(9, 1), choice(1, 9), choice(9, 9), choice(4, 4)
    unknown, over = choice(0.5, None), choice(0.1, 0.1)
    over = dataclasses.replace(over, exceeded=ExceededLimit("money", 2, 1))
    assert advice.pareto_front([cheap, fast, beaten, both, unknown, over], "time") == [cheap, fast, both]


def test_equal_choices_are_both_on_the_front_and_money_counts_by_money_alone():
    first, second = choice(1, 1, money=5), choice(1, 1, money=5)
    assert len(advice.pareto_front([first, second], "time")) == 2
    dear = choice(1, 0.1, money=9)
    assert advice.pareto_front([first, dear], "money") == [first]
    assert advice.pareto_front([first, dear], "energy") == [dear]


def test_options_without_a_plan_come_last_with_the_reason():
    unknown = DeviceOption("EPYC", "default", None, None, 2, "Not available: not probed.")
    too_small = dataclasses.replace(option("T4").profile, memory_bytes=1_000_000)
    options = [unknown, DeviceOption("small", "", too_small, None, 1), option("H100 SXM")]
    found = advice.rank_choices(preset("124m"), options, "time", NO_LIMITS)
    assert [one.option.title for one in found] == ["H100 SXM", "EPYC", "small"]
    assert found[1].why_not == "Not available: not probed." and "fits" in found[2].why_not
    assert not any(one.is_within_budget for one in found[1:])


def test_tokens_become_steps_rounded_up():
    spec = Spec()
    each = counts.tokens_per_step(spec)
    for tokens, steps in ((each * 10, 10), (each * 10 + 1, 11), (1, 1), (1e30, advice.MAX_STEPS)):
        assert advice.with_token_budget(spec, tokens).budget.steps == steps


def test_a_layout_is_described_without_its_defaults():
    parallel = {"data": 4, "tensor": 2, "zero_stage": 1, "offload_optimiser": "host"}
    spec = parse({"parallel": parallel, "batch": {"micro_batch_size": 4, "global_batch_size": 32}})
    assert advice.describe_layout(spec) == "4 data × 2 tensor, ZeRO 1, micro-batch 4, optimiser on the host"
    alone = parse({"parallel": {"data": 1, "zero_stage": 0, "activation_checkpointing": "full"}})
    assert advice.describe_layout(alone).startswith("one device, ZeRO 0, ")
    assert advice.describe_layout(alone).endswith("full recomputation")


def test_every_row_of_the_table_of_peaks_is_an_option():
    options = advice.options_from_peaks(16)
    assert [one.title for one in options] == [peak.name for peak in PEAKS]
    assert all(isinstance(one.profile, HardwareProfile) and one.max_devices == 16 for one in options)
    assert sorted(one.title for one in options if one.is_common) == sorted(advice.COMMON_DEVICES)
