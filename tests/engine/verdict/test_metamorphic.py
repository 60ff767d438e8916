"""What must not change a verdict, however the facts are turned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import Facts
from engine.verdict.judge import judge
from tests.engine.verdict.cases import facts, on_gpu, pipeline

CASES = {
    "clean": facts({}, {}),
    "input": facts({"data_wait_s": 0.06}, {"data_wait_s": 0.05}),
    "input beside communication": facts({"data_wait_s": 0.08, "communication_s": 0.04}, {"data_wait_s": 0.08}),
    "communication": facts({"communication_s": 0.05}, {}),
    "imbalance": facts({}, {"backward_s": 0.2}),
    "slow rank and slow data": facts({"data_wait_s": 0.05}, {"backward_s": 0.2}),
    "host": facts({"other_s": 0.06}, {"other_s": 0.06}),
    "bubble": pipeline([0.01] * 4, 4),
    "slow stage": pipeline([0.01, 0.03, 0.01, 0.01], 8),
    "mixed": facts({"data_wait_s": 0.05, "communication_s": 0.05}, {"data_wait_s": 0.05}),
    "power": on_gpu(facts({}, {}), power_throttle_share=0.9, sm_clock_hz=1.2e9),
    "memory bandwidth": on_gpu(facts({}, {}), memory_bandwidth_share=0.8, tensor_active_share=0.1, sm_active_share=0.9),
    "hot and bandwidth": on_gpu(facts({}, {}), memory_bandwidth_share=0.8, tensor_active_share=0.1,
                                thermal_throttle_share=0.5, sm_clock_hz=1.0e9),
}  # fmt: skip


@pytest.fixture(params=CASES, name="found")
def _found(request) -> Facts:
    return CASES[request.param]


def slower(found: Facts, factor: float) -> Facts:
    ranks = tuple(
        replace(rank, phases={name: values * factor for name, values in rank.phases.items()})
        for rank in found.ranks
    )
    return found.without(ranks=ranks, step_s=found.step_s * factor)


@pytest.mark.parametrize("factor", [1e-3, 0.5, 7.0, 1e3])
def test_scaling_all_times_leaves_the_verdict(found, factor):
    before, after = judge(found), judge(slower(found, factor))
    assert (after.name, after.severity, after.share) == (
        before.name,
        before.severity,
        pytest.approx(before.share),
    )


@pytest.mark.parametrize("idle", [0.1, 0.5, 2.0])
def test_idle_time_of_the_device_never_turns_input_into_compute(idle):
    """The host is late: nothing runs on the device, and the step lasts longer."""
    for name in ("input", "input beside communication"):
        found = CASES[name]
        extra = idle * found.step_s
        ranks = tuple(
            replace(rank, phases={**rank.phases, "other_s": rank.phases["other_s"] + extra})
            for rank in found.ranks
        )
        verdict = judge(on_gpu(found.without(ranks=ranks, step_s=found.step_s + extra), sm_active_share=0.02))
        assert "compute" not in verdict.rules
        assert set(verdict.rules) <= {"input", "host", "communication"}


def sources(found: Facts) -> list[Facts]:
    """The facts with one source gone each: a phase, a rank, a metric of the devices, all devices, the planner."""
    less = [
        found.without(
            ranks=tuple(
                replace(rank, phases={k: v for k, v in rank.phases.items() if k != phase})
                for rank in found.ranks
            )
        )
        for phase in STEP_PHASES
    ]
    less += [
        found.without(ranks=tuple(rank for rank in found.ranks if rank.rank != gone.rank))
        for gone in found.ranks
    ]
    metrics = {metric for device in found.devices for metric in device.means}
    less += [
        found.without(
            devices=tuple(replace(d, means={k: v for k, v in d.means.items() if k != metric}) for d in found.devices)
        )
        for metric in metrics
    ]  # fmt: skip
    return [*less, found.without(devices=()), found.without(unlimited_gain_share=None)]


def test_removing_a_source_never_flips_to_another_strong_verdict(found):
    before = judge(found)
    for less in sources(found):
        after = judge(less)
        assert after.severity != "strong" or set(after.rules) <= set(before.rules), (before.name, after.name)


def test_more_steps_of_the_same_kind_only_make_it_surer(found):
    few = found.without(
        step_s=found.step_s[:8],
        ranks=tuple(replace(r, phases={k: v[:8] for k, v in r.phases.items()}) for r in found.ranks),
    )
    before, after = judge(few), judge(found)
    assert before.provisional and not after.provisional
    assert before.name == after.name


def test_the_order_in_which_ranks_are_told_does_not_matter(found):
    turned = judge(found.without(ranks=found.ranks[::-1]))
    assert turned.name == judge(found).name
    assert np.isclose(turned.share or 0, judge(found).share or 0)
