"""Transformations of facts that must not change a verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import Facts
from engine.verdict.judge import judge
from tests.engine.verdict.cases import CASES, on_gpu

# The fixed cost of an operation and the rate of a link are those of a device: a step of the same spec that takes a
# thousand times longer is another one.
ABSOLUTE = ("small micro-batches", "neighbours")


@pytest.fixture(params=CASES, name="found")
def _found(request) -> Facts:
    return CASES[request.param]


def scale_times(found: Facts, factor: float) -> Facts:
    ranks = tuple(
        replace(rank, phases={name: values * factor for name, values in rank.phases.items()})
        for rank in found.ranks
    )
    return found.replace(ranks=ranks, step_s=found.step_s * factor)


@pytest.mark.parametrize("factor", [1e-3, 0.5, 7.0, 1e3])
@pytest.mark.parametrize("name", [name for name in CASES if name not in ABSOLUTE])
def test_scaling_all_times_keeps_the_verdict(name, factor):
    found = CASES[name]
    before, after = judge(found), judge(scale_times(found, factor))
    assert (after.name, after.severity, after.share) == (
        before.name,
        before.severity,
        pytest.approx(before.share),
    )


@pytest.mark.parametrize("idle", [0.1, 0.5, 2.0])
def test_idle_time_of_the_device_never_turns_input_into_compute(idle):
    """The host is late: the device idles, and the step takes longer."""
    for name in ("input", "input beside communication"):
        found = CASES[name]
        extra = idle * found.step_s
        ranks = tuple(
            replace(rank, phases={**rank.phases, "other_s": rank.phases["other_s"] + extra})
            for rank in found.ranks
        )
        verdict = judge(on_gpu(found.replace(ranks=ranks, step_s=found.step_s + extra), sm_active_share=0.02))
        assert "compute" not in verdict.rules
        assert set(verdict.rules) <= {"input", "host", "communication"}


def remove_sources(found: Facts) -> list[Facts]:
    """The facts without one source each: a phase, a rank, a metric of the devices, all devices, the planner."""
    less = [
        found.replace(
            ranks=tuple(
                replace(rank, phases={k: v for k, v in rank.phases.items() if k != phase})
                for rank in found.ranks
            )
        )
        for phase in STEP_PHASES
    ]
    less += [
        found.replace(ranks=tuple(rank for rank in found.ranks if rank.rank != removed.rank))
        for removed in found.ranks
    ]
    metrics = {metric for device in found.devices for metric in device.means}
    less += [
        found.replace(
            devices=tuple(replace(d, means={k: v for k, v in d.means.items() if k != metric}) for d in found.devices)
        )
        for metric in metrics
    ]  # fmt: skip
    return [*less, found.replace(devices=()), found.replace(unlimited_gain_share=None)]


def test_removing_a_source_never_gives_another_strong_verdict(found):
    before = judge(found)
    for less in remove_sources(found):
        after = judge(less)
        assert after.severity != "strong" or set(after.rules) <= set(before.rules), (before.name, after.name)


def test_more_steps_of_the_same_kind_make_the_verdict_sure(found):
    few = found.replace(
        step_s=found.step_s[:8],
        ranks=tuple(replace(r, phases={k: v[:8] for k, v in r.phases.items()}) for r in found.ranks),
    )
    before, after = judge(few), judge(found)
    assert set(before.provisional) - set(after.provisional) == {before.provisional[0]}
    assert not after.provisional or after.states
    assert before.name == after.name


def test_the_order_of_the_ranks_does_not_matter(found):
    reversed_ranks = judge(found.replace(ranks=found.ranks[::-1]))
    assert reversed_ranks.name == judge(found).name
    assert np.isclose(reversed_ranks.share or 0, judge(found).share or 0)
