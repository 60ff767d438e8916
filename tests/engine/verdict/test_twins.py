"""Twins of a verdict, and predicted effects of spec changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.spec.spec import parse
from engine.verdict.judge import judge
from engine.verdict.spec_edits import apply_changes
from engine.verdict.twins import TWIN_STEPS, NoTwin, build_twin, shorten
from engine.verdict.whatif import predict_gain
from tests.engine.verdict.cases import facts, pipeline, spec


def with_layout(found, **parallel):
    return found.replace(spec=spec(parallel=parallel, batch={"global_batch_size": 16}))


def test_a_twin_is_the_spec_for_thirty_steps_with_one_change():
    found = facts({"communication_s": 0.05}, {})
    twin = build_twin(judge(found), found)
    assert twin.changes == {"batch.global_batch_size": 32} and twin.rule == "communication"
    assert twin.spec.budget.steps == twin.baseline.budget.steps == TWIN_STEPS
    assert twin.spec.batch.global_batch_size == 2 * twin.baseline.batch.global_batch_size
    assert twin.predicted_share == pytest.approx(0.05 / 0.152 / 2, abs=0.06)


def test_a_change_with_too_small_an_effect_is_skipped():
    """ZeRO 3 gathers once per micro-batch: twice the batch means twice the gathers."""
    found = with_layout(facts({"communication_s": 0.06}, {}), data=2, zero_stage=3)
    assert build_twin(judge(found), found).changes == {"parallel.zero_stage": 2}


def test_a_bubble_is_tested_by_smaller_micro_batches():
    found = pipeline([1.0] * 4, 4)
    twin = build_twin(judge(found), found)
    assert twin.changes == {"batch.micro_batch_size": 1}
    assert twin.predicted_share == pytest.approx(1 - (1 + 3 / 8) / (1 + 3 / 4), abs=0.02)


def test_waits_between_the_turns_of_a_pipeline_come_again_with_each_micro_batch():
    """4 and 8 micro-batches of 20 ms; the stages wait 80 ms longer than the pipeline takes to fill and empty."""
    found = pipeline([0.02] * 4, 4)
    waits = 0.08
    ranks = tuple(
        replace(r, phases={**r.phases, "bubble_s": r.phases["bubble_s"] + waits}) for r in found.ranks
    )
    waiting = found.replace(ranks=ranks, step_s=found.step_s + waits)
    change = apply_changes(found.spec, {"batch.micro_batch_size": 1})
    without, with_waits = (predict_gain(one, change).share for one in (found, waiting))
    assert without is not None and 0.05 < without < 1 - (11 / 8) / (7 / 4)  # less what each turn costs a CPU
    assert with_waits is not None and with_waits < without - 0.15


@pytest.mark.parametrize("found", [facts({"data_wait_s": 0.06}, {}), facts({}, {"backward_s": 0.2})])
def test_a_loss_that_no_field_can_change_has_no_twin_and_a_reason(found):
    with pytest.raises(NoTwin, match="no field of a spec changes"):
        build_twin(judge(found), found)


def test_reductions_inside_layers_grow_with_the_batch():
    """Tensor parallel: twice the tokens need twice the reductions, so nothing is saved per token."""
    found = with_layout(facts({"communication_s": 0.05}, {}), data=1, tensor=2, zero_stage=0)
    gain = predict_gain(found, apply_changes(found.spec, {"batch.global_batch_size": 32}))
    assert gain.share == pytest.approx(0.02, abs=0.04)


def test_keeping_activations_saves_a_forward_pass():
    found = facts({}, {})
    recomputing = found.replace(spec=spec(parallel={"activation_checkpointing": "full"}))
    gain = predict_gain(
        recomputing, apply_changes(recomputing.spec, {"parallel.activation_checkpointing": "none"})
    )
    assert gain.share == pytest.approx(0.03 / 0.104, abs=0.01)


def test_unmeasured_speeds_are_not_predicted():
    found = facts({}, {})
    assert "bf16" in predict_gain(found, apply_changes(found.spec, {"precision.dtype": "bf16"})).message
    assert "devices" in predict_gain(found, apply_changes(found.spec, {"parallel.data": 4})).message


def test_a_shortened_spec_has_normal_priority_and_no_extra_work():
    values = spec(budget={"steps": 1000}, optimiser={"warmup_steps": 100}) | {"priority": "high"}
    found = shorten(parse(values))
    assert (found.priority, found.budget.validate_every, found.optimiser.warmup_steps) == ("normal", 0, 30)
