"""Predictions of the planner: memory, time, corrections and stored plans."""

from __future__ import annotations

from typing import Any

import pytest

from engine import planner
from engine.hardware.peaks import PEAKS
from engine.model_math import counts
from engine.planner import (
    Calibration,
    Estimate,
    HardwareProfile,
    Link,
    PhaseCorrection,
    Plan,
    plan,
    predict_change,
    profile_from_peak,
)
from engine.spec.presets import preset
from engine.spec.spec import Spec, parse

H100 = profile_from_peak(next(peak for peak in PEAKS if peak.name == "H100 SXM"))
CPU = HardwareProfile(
    "EPYC", "cpu", "measured", "a probe", {"fp32": 4e10}, memory_bytes=8 * 1024**3, memory_bytes_per_s=1e10,
    within_node=Link(3e-4, 8e8), devices_per_node=4,
)  # fmt: skip


def planned(**parts: Any) -> Plan:
    return plan(parse(parts))


def test_parameters_of_gpt_2_with_an_untied_head_are_exact():
    """124,439,808 of GPT-2 small plus an untied head, at this preset's vocabulary of 50,304."""
    spec = preset("124m")
    assert counts.parameters(spec) == 124_439_808 + 768 * (50_304 - 50_257) + 768 * 50_304


def test_stages_hold_all_layers_once():
    spec = parse({"model": {"layers": 7}, "parallel": {"stages": 3, "data": 1}})
    bounds = counts.stage_bounds(spec)
    assert bounds == [(0, 4), (4, 6), (6, 10)]
    assert sum(counts.stage_parameters(spec)) == counts.parameters(spec)


@pytest.mark.parametrize(
    ("zero_stage", "bytes_per_parameter"), [(0, 12), (1, 4 + 12 / 4), (2, 4 + 12 / 4), (3, 16 / 4)]
)
def test_model_states_in_fp32_shrink_by_zero_stage(zero_stage: int, bytes_per_parameter: float):
    """Parameters and Adam's two moments; with ZeRO also a 32-bit copy, shared over four ranks. ZeRO 3 gives each rank
    its share of the parameters too."""
    spec = parse({"parallel": {"data": 4, "zero_stage": zero_stage}, "batch": {"global_batch_size": 32}})
    [stage] = plan(spec).stages
    states = stage.parameters_bytes + stage.optimiser_bytes
    assert states == pytest.approx(bytes_per_parameter * counts.parameters(spec))


def test_sixteen_bit_training_keeps_an_fp32_master_copy():
    [stage] = plan(Spec(), dtype="bf16").stages
    assert stage.optimiser_bytes == counts.parameters(Spec()) * 12 / 2  # ZeRO 1 on two ranks
    assert stage.parameters_bytes == counts.parameters(Spec()) * 2


@pytest.mark.parametrize(
    ("optimiser", "bytes_each"),
    [({"name": "adamw"}, 8), ({"name": "sgd"}, 4), ({"name": "sgd", "momentum": 0.0}, 0)],
)
def test_states_follow_the_optimiser(optimiser: dict[str, Any], bytes_each: int):
    whole = planned(optimiser=optimiser, parallel={"data": 1, "zero_stage": 0}).peak
    assert whole.optimiser_bytes == bytes_each * counts.parameters(Spec())


def test_recomputing_more_holds_less():
    deep = {"layers": 24}
    held = [
        planned(model=deep, parallel={"activation_checkpointing": how}).peak.moments["loss"]
        for how in ("none", "selective", "full")
    ]
    assert held == sorted(held, reverse=True) and held[0] > 2 * held[2]


def test_the_first_stage_holds_the_activations_of_most_micro_batches():
    spec = {"data": 1, "stages": 4}
    stages = planned(parallel=spec, model={"layers": 8}, batch={"global_batch_size": 64}).stages
    held = [stage.activations_bytes for stage in stages]
    assert held == sorted(held, reverse=True) and held[0] > 3 * held[3]
    assert [stage.logits_bytes > 0 for stage in stages] == [False, False, False, True]


def test_offloaded_states_are_in_the_hosts_memory():
    parallel = {"data": 2, "zero_stage": 2}
    before = planned(parallel=parallel).peak
    after = planned(parallel=parallel | {"offload_optimiser": "host"}).peak
    assert after.optimiser_bytes == 0 and before.host_bytes == 0
    assert after.host_bytes >= before.optimiser_bytes


@pytest.mark.parametrize(
    ("path", "smaller", "larger"),
    [
        ("batch.micro_batch_size", 1, 8),
        ("model.layers", 2, 12),
        ("model.ffn_width", 128, 2048),
        ("model.context", 64, 512),
        ("data.vocab_size", 512, 16384),
        ("parallel.tensor", 4, 1),
    ],
)
def test_more_of_anything_takes_more_memory_and_time(path: str, smaller: int, larger: int):
    part, field = path.split(".")
    plans = [plan(parse({part: {field: value}}), H100) for value in (smaller, larger)]
    sizes = [one.peak.total_bytes for one in plans]
    assert sizes[0] < sizes[1]
    if path != "batch.micro_batch_size":  # larger ones fill the device better
        flops = [one.flops_per_step for one in plans]
        assert flops[0] < flops[1] or path == "parallel.tensor"


def test_components_add_up_to_the_moment_that_binds():
    for stage in planned(parallel={"stages": 2, "data": 2}).stages:
        assert stage.total_bytes == pytest.approx(stage.moments[stage.binds])
        assert stage.moments[stage.binds] == max(stage.moments.values())


def test_phases_add_up_to_the_step_and_spans_are_in_order():
    time = plan(preset("1.3b"), H100, dtype="bf16").time
    assert time is not None and time.standing == "estimated"
    assert time.step_s.point == pytest.approx(sum(span.point for span in time.phases.values()))
    assert all(span.low <= span.point <= span.high for span in time.phases.values())
    assert time.mfu_share and 0.1 < time.mfu_share.point < 0.7
    assert time.hfu_share and time.hfu_share.point == pytest.approx(time.mfu_share.point * 4 / 3, rel=0.05)


def test_equal_stages_wait_as_theory_says():
    """(p - 1) / (m + p - 1) of the step; stages without ends are equal."""
    parts = {"model": {"layers": 64}, "parallel": {"stages": 4, "data": 1}, "data": {"vocab_size": 256}}
    time = plan(parse(parts | {"batch": {"micro_batch_size": 4, "global_batch_size": 32}}), CPU).time
    assert time is not None
    pipeline = (
        time.phases["forward_s"].point + time.phases["backward_s"].point + time.phases["bubble_s"].point
    )
    assert time.phases["bubble_s"].point / pipeline == pytest.approx(3 / (8 + 3), rel=0.1)


def test_an_unknown_device_has_no_time_and_the_reason():
    without = plan(Spec())
    assert without.time is None and without.why_not.startswith("Not available")
    slow = plan(Spec(), CPU, dtype="bf16")
    assert slow.time is None and "bf16" in slow.why_not
    alone = HardwareProfile("MI300X", "cuda", "measured", "a probe", {"fp32": 1e14})
    assert "links" in plan(Spec(), alone).why_not


def test_corrections_replace_what_was_predicted():
    raw = plan(Spec(), CPU).time
    learnt = Calibration("EPYC", (PhaseCorrection("fp32", "forward_s", 2.0, 1.5, 3.0, 7),))
    corrected = plan(Spec(), CPU, learnt).time
    assert raw is not None and corrected is not None
    before, after = raw.phases["forward_s"].point, corrected.phases["forward_s"]
    assert after == Estimate(1.5 * before, 2.0 * before, 3.0 * before)
    assert corrected.calibrated == {"forward_s": 7}
    assert corrected.phases["backward_s"] == raw.phases["backward_s"]


def test_a_change_is_a_ratio_by_phase():
    more = parse({"batch": {"global_batch_size": 32}})
    found = predict_change(Spec(), more, CPU)
    assert found is not None
    assert found.phases["forward_s"] == pytest.approx(2)
    assert found.phases["optimiser_s"] == pytest.approx(1)
    assert found.throughput == pytest.approx(2 / found.step)
    assert predict_change(Spec(), more, None) is None


def test_a_plan_survives_a_round_trip_through_json():
    whole = plan(parse({"parallel": {"stages": 2}}), H100, dtype="bf16")
    assert Plan.from_json(whole.to_json()) == whole


def test_a_plan_of_version_1_can_still_be_read():
    old = {
        "version": 1, "dtype": "fp32", "num_parameters": 5, "world_size": 1, "accumulation": 1, "tokens_per_step": 8,
        "flops_per_step": 1.0, "peak_bytes": 15.0, "status": "estimated",
        "stages": [{"stage": 0, "parameters_bytes": 1.0, "gradients_bytes": 2.0, "optimiser_bytes": 3.0,
                    "activations_bytes": 4.0, "logits_bytes": 5.0}],
    }  # fmt: skip
    found = Plan.from_json(old)
    assert found.peak.total_bytes == 15 and found.time is None and found.why_not


def test_fits_has_three_labels_and_one_for_unknown_capacity():
    whole = plan(Spec())
    peak = whole.peak.total_bytes
    answers = [whole.fits(capacity) for capacity in (peak / 0.79, peak / 0.9, peak / 0.99, None)]
    assert answers == ["fits", "tight", "will not fit", "unknown"]


def test_profiles_survive_a_round_trip_through_json():
    for peak in PEAKS:
        profile = profile_from_peak(peak)
        assert HardwareProfile.from_json(profile.to_json()) == profile
        assert profile.standing == "estimated" and profile.between_nodes is not None
        assert (profile.within_node is None) == (peak.link == "none")


def test_the_package_exports_its_public_names():
    assert {"plan", "predict_change", "Plan", "HardwareProfile", "Calibration", "Estimate"} <= set(
        planner.__all__
    )
