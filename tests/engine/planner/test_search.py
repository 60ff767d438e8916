"""Search of the planner: the nearest plan that fits, and the ranking of many."""

from __future__ import annotations

import dataclasses

import pytest

from engine.hardware.peaks import PEAKS
from engine.planner import (
    HardwareProfile,
    Link,
    PowerLevels,
    layout_changes,
    nearest_fit,
    plan,
    profile_from_peak,
    search,
)
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.presets import preset
from engine.spec.spec import Spec, parse

DEVICES = {peak.name: profile_from_peak(peak) for peak in PEAKS}
CUDA = Hardware("cuda", gang_limit=8)


@pytest.mark.parametrize(
    ("model", "device"), [("1.3b", "L4"), ("350m", "T4"), ("7b", "L40S"), ("1.3b", "T4")]
)
def test_the_nearest_plan_fits_and_breaks_no_rule(model: str, device: str):
    spec = preset(model)
    values = spec.model_dump()
    values["parallel"] |= {"zero_stage": 0, "activation_checkpointing": "none"}
    heavy = parse(values)
    profile = DEVICES[device]
    assert plan(heavy, profile).fits() == "will not fit"
    found = nearest_fit(heavy, profile, CUDA)
    assert found is not None
    other, planned = found
    assert planned.fits() == "fits" == plan(other, profile).fits()
    refuse_impossible(other, CUDA)
    assert layout_changes(heavy, other)
    assert other.model == heavy.model and other.batch.global_batch_size == heavy.batch.global_batch_size


def test_sharing_comes_before_smaller_micro_batches_and_those_before_recomputing():
    changed = {
        "parallel": {"data": 8, "zero_stage": 0},
        "batch": {"global_batch_size": 8, "micro_batch_size": 1},
    }
    spec = parse(preset("350m").model_dump() | changed)
    whole = plan(spec, DEVICES["H200 SXM"])
    room = dataclasses.replace(DEVICES["H200 SXM"], memory_bytes=int(whole.peak.total_bytes / 0.85))
    found = nearest_fit(spec, room, CUDA)
    assert found is not None and list(layout_changes(spec, found[0])) == ["parallel.zero_stage"]


def test_no_plan_is_offered_where_none_fits_or_the_memory_is_unknown():
    tiny = dataclasses.replace(DEVICES["T4"], memory_bytes=1_700_000_000)
    assert nearest_fit(preset("1.3b"), tiny, CUDA) is None
    assert nearest_fit(preset("1.3b"), dataclasses.replace(tiny, memory_bytes=None), CUDA) is None


def test_a_search_ranks_plans_that_fit_and_may_run():
    spec = preset("7b")
    found = search(spec, DEVICES["H100 SXM"], devices=8, hardware=CUDA)
    assert found.num_tried > found.num_fitting > len(found.best) > 2
    times = [one.step_s.point for one in found.best if one.step_s]
    assert times == sorted(times) and len(times) == len(found.best)
    for one in found.best:
        refuse_impossible(one.spec, CUDA)
        assert one.fits == "fits" and plan(one.spec, DEVICES["H100 SXM"]).fits() == "fits"
        assert one.changes == layout_changes(spec, one.spec)


def test_by_energy_and_by_money_need_power_and_a_price():
    priced = dataclasses.replace(DEVICES["H100 SXM"], price_per_device_hour=2.5, currency="USD")
    for by in ("energy", "money"):
        found = search(preset("1.3b"), priced, devices=4, goal=by, hardware=CUDA)  # type: ignore[arg-type]
        costs = [one.energy_j if by == "energy" else one.money for one in found.best]
        points = [cost.point for cost in costs if cost]
        assert points == sorted(points) and len(points) == len(found.best) > 0
    assert "price" in search(preset("1.3b"), DEVICES["T4"], devices=4, goal="money").why_not
    without = dataclasses.replace(priced, power=None)
    assert "power" in search(preset("1.3b"), without, devices=4, goal="energy").why_not


def test_fewer_devices_are_among_the_cheapest_plans():
    """A small model on eight devices mostly waits for gradients, so one device is cheaper."""
    priced = HardwareProfile(
        "slow links", "cuda", "measured", "a probe", {"fp32": 1e14}, memory_bytes=80 * 1024**3,
        memory_bytes_per_s=2e12, within_node=Link(1e-3, 1e9), price_per_device_hour=1.0,
        power=PowerLevels(700, 350, 100),
    )  # fmt: skip
    cheapest = search(Spec(), priced, devices=8, goal="money", hardware=CUDA).best[0]
    assert cheapest.spec.parallel.world_size == 1


def test_an_unprobed_device_gives_no_ranking_and_the_reason():
    unknown = HardwareProfile("EPYC", "cpu", "estimated", "the node", {}, memory_bytes=8 * 1024**3)
    found = search(Spec(), unknown, devices=4)
    assert found.best == () and "has not been probed" in found.why_not


def test_thousands_of_plans_take_less_than_a_second_of_cpu():
    """5,829 plans took 0.77 s of a busy core on 2026-11-27; the limit allows for slower cores."""
    found = search(preset("7b"), DEVICES["H100 SXM"], devices=64)
    assert found.num_tried > 5000
    assert found.took_s < 5
