"""Pressures on a host, small micro-batches and idle devices, around their thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import planner
from engine.spec.spec import parse
from engine.verdict.facts import DeviceFacts, Facts, from_json, to_json
from engine.verdict.judge import judge
from engine.verdict.spec_edits import list_larger_micro_batches, list_lower_zero_stages
from engine.verdict.whatif import predict_gain
from tests.engine.verdict.cases import facts, on_gpu, pressed, small_micro_batches, spec


def with_profile(found: Facts) -> Facts:
    return found.replace(profile=replace(planner.generic_profile("cpu"), standing="measured"))


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        ("cpu_throttle_share", "quota"),
        ("memory_pressure_share", "swapping"),
        ("io_pressure_share", "io_pressure"),
        ("cpu_pressure_share", "contention"),
    ],
)
def test_a_pressure_is_named_above_its_threshold_and_not_below_or_unmeasured(metric: str, rule: str):
    quiet: dict[str, Any] = {
        "cpu_throttle_share": 0.0, "memory_pressure_share": 0.0, "io_pressure_share": 0.0, "cpu_pressure_share": 0.0,
    }  # fmt: skip
    above = judge(pressed(facts({}, {}), **quiet | {metric: 0.4, "cores_used": 0.6}))
    assert (above.name, above.severity) == (rule, "strong")
    assert judge(pressed(facts({}, {}), **quiet | {metric: 0.05, "cores_used": 0.95})).name == "compute"
    del quiet[metric]
    assert rule not in judge(pressed(facts({}, {}), **quiet | {"cores_used": 0.6})).rules


@pytest.mark.parametrize("metric", ["memory_pressure_share", "io_pressure_share"])
def test_a_pressure_of_the_host_is_not_strong_without_the_cores_that_a_rank_used(metric: str):
    means = {"memory_pressure_share": 0.0, "io_pressure_share": 0.0} | {metric: 0.5}
    assert judge(pressed(facts({}, {}), **means)).severity == "notable"
    assert judge(pressed(facts({}, {}), **means, cores_used=0.99)).name == "compute"  # it waited for nothing


def test_one_rank_alone_never_communicates():
    alone = facts({"communication_s": 0.04})
    verdict = judge(alone)
    assert verdict.name == "host" and verdict.get_share("communication") == 0
    assert "faster_link" not in {remedy.id for remedy in verdict.remedies}


def test_beside_neighbours_a_slow_transfer_is_theirs_and_never_strong_communication():
    slow = facts({"communication_s": 0.06}, {})
    assert (judge(slow).name, judge(slow).severity) == ("communication", "strong")
    busy = judge(pressed(slow, cpu_pressure_share=0.97, cores_used=0.9))
    assert "contention" in busy.rules and "communication" not in busy.rules
    unknown = judge(pressed(slow, cpu_pressure_share=0.97))
    assert unknown.severity != "strong" and "contended" in {state.rule for state in unknown.states}


def test_small_micro_batches_are_merged_first():
    verdict = judge(with_profile(small_micro_batches()))
    assert (verdict.name, verdict.severity) == ("dispatch", "strong")
    first = verdict.remedies[0]
    assert first.id == "larger_micro_batch" and first.changes["batch.micro_batch_size"] >= 8
    assert first.gain_share is not None and first.gain_share > 0.5
    assert judge(small_micro_batches()).severity == "notable"  # the device was not probed


def test_a_single_micro_batch_is_not_small():
    found = small_micro_batches()
    whole = found.replace(spec=spec(
        model={"layers": 2, "width": 32, "heads": 2, "ffn_width": 64, "context": 16},
        batch={"global_batch_size": 32, "micro_batch_size": 32}, parallel={"data": 1},
    ))  # fmt: skip
    assert judge(with_profile(whole)).name == "compute"


def test_a_remedy_that_memory_refuses_is_not_chosen():
    found = with_profile(small_micro_batches())
    sizes = [change["batch.micro_batch_size"] for change in list_larger_micro_batches(parse(found.spec))]
    assert sizes == [2, 4, 8, 16, 32]
    full = found.replace(devices=(DeviceFacts("cpu-0", "cpu", {}, 3e8, 3.2e8),))
    chosen = [remedy for remedy in judge(full).remedies if remedy.id == "larger_micro_batch"]
    assert all(remedy.changes["batch.micro_batch_size"] <= 32 for remedy in chosen)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_lower_zero_stages_are_offered_down_to_0(stage: int):
    found = facts({"communication_s": 0.06}, {}, spec=spec(parallel={"data": 2, "zero_stage": stage}))
    verdict = judge(found)
    assert verdict.remedies[0].id == "lower_zero"
    assert list_lower_zero_stages(parse(found.spec))[-1] == {"parallel.zero_stage": 0}
    gain = verdict.remedies[0].gain_share
    assert gain is not None and gain > 0


@pytest.mark.parametrize(("stage", "sizes"), [(0, 4 / 3), (1, 2.0), (2, 10.0), (3, 56 / 3)])
def test_the_payload_is_what_gloo_sends_on_three_ranks_in_seven_micro_batches(stage: int, sizes: float):
    values = spec(
        batch={"global_batch_size": 42, "micro_batch_size": 2}, parallel={"data": 3, "zero_stage": stage}
    )
    link = planner.Link(0.0, 1e9)
    profile = replace(planner.generic_profile("cpu"), within_node=link)
    costs = planner.predict_costs(parse(values), profile)
    parameters = planner.plan(parse(values)).num_parameters
    assert costs.payload_s * 1e9 / (4 * parameters) == pytest.approx(sizes, rel=0.01)


def test_an_idle_device_is_named_and_a_used_one_is_not():
    found = facts({}, {}, spec=spec(batch={"global_batch_size": 16, "micro_batch_size": 8}))
    idle = judge(on_gpu(found, sm_active_share=0.2).replace(mfu_share=0.04))
    assert (idle.name, idle.severity) == ("idle", "strong")
    assert "faster_device" not in {remedy.id for remedy in idle.remedies}
    assert judge(on_gpu(found, utilisation_pct=20.0)).name == "idle"
    assert judge(on_gpu(found, sm_active_share=0.7)).name == "compute"
    unknown = judge(on_gpu(found).replace(mfu_share=0.04))
    assert unknown.name == "compute" and "MFU is 4 %" in unknown.sentence


def test_an_update_is_named_from_a_quarter_of_the_step_or_a_tenth_if_offloaded():
    assert judge(facts({"optimiser_s": 0.05}, {"optimiser_s": 0.05})).name == "optimiser"
    light = {"optimiser_s": 0.02}
    assert judge(facts(light, light)).name == "compute"
    offloaded = facts(light, light, spec=spec(
        parallel={"data": 2, "zero_stage": 1, "offload_optimiser": "host"}))  # fmt: skip
    assert judge(on_gpu(offloaded)).name == "optimiser"


def test_the_explained_share_is_given_and_survives_json():
    found = with_profile(small_micro_batches())
    share = judge(found).explained_share
    assert share is not None and 0 < share <= 1
    again = from_json(to_json(found))
    assert again.profile == found.profile
    assert judge(again).explained_share == pytest.approx(share, abs=1e-3)


def test_unknown_waits_in_the_passes_are_no_dispatch():
    """32 micro-batches whose passes sleep: the update shows that the device is not slow."""
    found = with_profile(small_micro_batches())
    ranks = tuple(
        replace(r, phases={**r.phases, "forward_s": r.phases["forward_s"] + np.full(found.num_steps, 2.0)})
        for r in found.ranks
    )
    sleeping = found.replace(ranks=ranks, step_s=found.step_s + 2.0)
    changed = parse(found.spec).model_copy(
        update={"batch": parse(found.spec).batch.model_copy(update={"micro_batch_size": 32})}
    )
    gain = predict_gain(sleeping, changed)
    assert gain.share is not None and gain.share < 0.1 and gain.message == "about"
