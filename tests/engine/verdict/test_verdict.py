"""The named limit, its severity, doubts, states and remedies."""

from __future__ import annotations

import numpy as np
import pytest

from engine.verdict import results
from engine.verdict.facts import DeviceFacts, Facts, from_json, to_json
from engine.verdict.judge import judge
from engine.verdict.rules import RULES_VERSION
from tests.engine.verdict.cases import STATE_CASES, facts, on_gpu, pipeline


def test_a_run_that_computes_is_bound_by_compute_and_never_strongly():
    verdict = judge(facts({}, {}))
    assert (verdict.name, verdict.limit, verdict.severity) == ("compute", "compute", "")
    assert "not separable" in verdict.sentence
    assert verdict.is_sure and verdict.rules_version == RULES_VERSION


def test_waiting_for_data_is_input_even_on_one_rank_of_two():
    both = judge(facts({"data_wait_s": 0.06}, {"data_wait_s": 0.06}))
    assert (both.name, both.severity) == ("input", "strong")
    assert both.share == pytest.approx(0.06 / 0.163, abs=0.01)
    one = judge(facts({"data_wait_s": 0.06}, {}))
    assert one.name == "input" and one.share == pytest.approx(0.06 / 0.163, abs=0.02)


def test_time_in_collectives_that_no_rank_escapes_is_communication():
    verdict = judge(facts({"communication_s": 0.03}, {}))
    assert (verdict.name, verdict.limit, verdict.severity) == ("communication", "bandwidth", "strong")
    assert verdict.share == pytest.approx(0.03 / 0.132, abs=0.01)


def test_waiting_for_a_slow_rank_is_imbalance_and_names_it():
    verdict = judge(facts({}, {}, {"backward_s": 0.15}, {}))
    assert (verdict.name, verdict.limit) == ("imbalance", "compute")
    assert "rank 2 takes" in verdict.sentence


@pytest.mark.parametrize("records_bubble", [True, False])
def test_the_bubble_is_the_cost_of_filling_and_draining(records_bubble):
    verdict = judge(pipeline([0.01, 0.01], 4, records_bubble=records_bubble))
    assert verdict.name == "bubble"
    assert verdict.share == pytest.approx(1 / 5, abs=0.005)


@pytest.mark.parametrize("records_bubble", [True, False])
def test_a_slow_stage_is_imbalance_and_is_named(records_bubble):
    verdict = judge(pipeline([0.01, 0.02], 16, records_bubble=records_bubble))
    assert verdict.name == "imbalance"
    assert "stage 1 takes 1.33 x the mean" in verdict.sentence
    assert verdict.share == pytest.approx(15 * 0.005 / (0.03 + 15 * 0.02), abs=0.01)


def test_work_of_the_host_outside_the_phases_is_named():
    assert judge(facts({"other_s": 0.03}, {"other_s": 0.03})).name == "host"


def test_two_losses_that_are_near_each_other_are_mixed_with_both_names():
    verdict = judge(facts({"data_wait_s": 0.03, "communication_s": 0.032}, {"data_wait_s": 0.03}))
    assert verdict.name == "communication + input" and verdict.limit == "mixed"
    assert "No single limit" in verdict.sentence


def test_between_ten_and_twenty_percent_a_loss_is_notable_and_below_it_is_none():
    assert judge(facts({"communication_s": 0.018}, {})).severity == "notable"
    assert judge(facts({"communication_s": 0.009}, {})).name == "compute"


def test_the_shares_add_up_to_the_step():
    for found in (facts({"data_wait_s": 0.04}, {"backward_s": 0.09}), pipeline([0.01, 0.02, 0.01, 0.01], 6)):
        assert sum(finding.share for finding in judge(found).findings) == pytest.approx(1, abs=0.01)


def test_few_steps_little_coverage_and_a_busy_host_make_it_provisional():
    assert "7 steady steps" in judge(facts({}, {}, steps=7)).provisional[0]
    assert "50 %" in judge(facts({}, {}, coverage=0.5)).provisional[0]
    busy = (DeviceFacts("cpu-0", "cpu", {"cpu_pressure_share": 0.4}, 2e9, 8e9),)
    assert "compete" in judge(facts({}, {}, devices=busy)).provisional[0]


@pytest.mark.parametrize(("share", "severity"), [(0.5, None), (0.93, "notable"), (0.98, "strong")])
def test_nearly_full_memory_is_a_state_beside_the_verdict(share, severity):
    verdict = judge(facts({}, {}, devices=(DeviceFacts("cpu-0", "cpu", {}, share * 8e9, 8e9),)))
    assert [state.severity for state in verdict.states] == ([severity] if severity else [])
    assert verdict.name == "compute" and verdict.bars[1].share == pytest.approx(share)
    assert ("recompute" in {remedy.id for remedy in verdict.remedies}) == bool(severity)


def test_memory_is_the_limit_if_the_planner_predicts_a_gain_from_more():
    squeezed = facts({}, {})
    squeezed.spec["batch"]["micro_batch_size"] = 1  # type: ignore[index]
    verdict = judge(squeezed.replace(unlimited_gain_share=0.3))
    assert (verdict.name, verdict.limit, verdict.severity) == ("capacity", "memory", "notable")
    assert (
        judge(facts({}, {}).replace(unlimited_gain_share=0.3)).name == "compute"
    )  # its plan is not squeezed


@pytest.mark.parametrize(
    ("means", "name"),
    [
        (
            {"memory_bandwidth_share": 0.75, "tensor_active_share": 0.1, "sm_active_share": 0.9},
            "memory_bandwidth",
        ),
        ({"memory_bandwidth_share": 0.3, "tensor_active_share": 0.1, "sm_active_share": 0.9}, "kernels"),
        ({"memory_bandwidth_share": 0.4, "tensor_active_share": 0.7, "sm_active_share": 0.9}, "compute"),
        ({"power_throttle_share": 0.9, "sm_clock_hz": 1.4e9}, "power"),
        ({"power_throttle_share": 0.9, "sm_clock_hz": 1.95e9}, "compute"),  # normal at a heavy load
        ({"thermal_throttle_share": 0.05, "sm_clock_hz": 1.2e9}, "heat"),
    ],
)
def test_counters_of_a_gpu_name_the_bound_on_compute(means, name):
    verdict = judge(on_gpu(facts({}, {}), **means))
    assert verdict.name == name
    assert "not separable" not in verdict.sentence or "sm_active_share" not in means


def test_on_cpu_devices_memory_bandwidth_is_never_claimed():
    cpu = tuple(DeviceFacts(f"cpu-{n}", "cpu", {}, 2e9, 8e9) for n in range(2))
    assert judge(facts({}, {}, devices=cpu)).name == "compute"
    assert judge(facts({}, {}, devices=cpu)).bars[3].share is None


def test_throttled_clocks_are_a_state_beside_a_greater_loss():
    verdict = judge(on_gpu(facts({"communication_s": 0.05}, {}), power_throttle_share=0.5, sm_clock_hz=1.2e9))
    assert verdict.name == "communication"
    assert [state.rule for state in verdict.states] == ["power_held"]


@pytest.mark.parametrize(
    ("case", "rule", "severity"),
    [
        ("faulty device", "unhealthy", "strong"),
        ("busy host", "contended", "notable"),
        ("full memory", "memory_full", "notable"),
        ("power limit", "power_held", "notable"),
        ("hot", "heat_held", "notable"),
    ],
)
def test_states_have_a_severity_of_their_own(case, rule, severity):
    verdict = judge(STATE_CASES[case])
    assert [(state.rule, state.severity) for state in verdict.states] == [(rule, severity)]
    assert bool(verdict.provisional) == (rule in ("unhealthy", "contended"))
    assert verdict.name == "compute"


def test_without_a_step_there_is_a_reason_instead_of_a_verdict():
    verdict = judge(Facts(spec={}, nothing="This run was logged from outside."))
    assert (verdict.name, verdict.share, verdict.nothing) == ("", None, "This run was logged from outside.")
    assert judge(Facts(spec={})).nothing


def test_verdicts_and_facts_survive_json():
    found = facts({"data_wait_s": 0.06}, {})
    verdict = judge(found)
    assert results.from_json(results.to_json(verdict)) == verdict
    again = judge(from_json(to_json(found)))
    assert again.name == verdict.name and again.share == pytest.approx(verdict.share, abs=1e-4)


def test_remedies_change_the_spec_and_predict_their_savings():
    found = {remedy.id: remedy for remedy in judge(pipeline([1.0, 1.0], 4)).remedies}
    assert found["smaller_micro_batch"].changes == {"batch.micro_batch_size": 1}
    assert found["smaller_micro_batch"].gain_share == pytest.approx(1 - (9 / 8) / (5 / 4), abs=0.02)
    assert found["fewer_stages"].changes == {"parallel.stages": 1, "parallel.data": 2}


def test_an_incompletely_recorded_step_is_never_strong():
    found = facts({"communication_s": 0.06}, {})
    verdict = judge(found.replace(step_s=found.step_s + np.float64(0.05)))
    assert verdict.severity == "notable" and verdict.provisional
