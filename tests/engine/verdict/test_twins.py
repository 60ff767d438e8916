"""Which change tests a verdict, and what a change should do to a run's own phases."""

from __future__ import annotations

import pytest

from engine.spec.spec import parse
from engine.verdict.judge import judge
from engine.verdict.spec_edits import changed
from engine.verdict.twins import TWIN_STEPS, NoTwin, short, twin_of
from engine.verdict.whatif import gain_of
from tests.engine.verdict.cases import facts, pipeline, spec


def with_layout(found, **parallel):
    return found.without(spec=spec(parallel=parallel, batch={"global_batch_size": 16}))


def test_a_twin_is_the_spec_for_thirty_steps_with_one_change():
    found = facts({"communication_s": 0.05}, {})
    twin = twin_of(judge(found), found)
    assert twin.changes == {"batch.global_batch_size": 32} and twin.rule == "communication"
    assert twin.spec.budget.steps == twin.baseline.budget.steps == TWIN_STEPS
    assert twin.spec.batch.global_batch_size == 2 * twin.baseline.batch.global_batch_size
    assert twin.predicted_share == pytest.approx(0.05 / 0.152 / 2, abs=0.06)


def test_a_change_that_moves_too_little_is_passed_by():
    """ZeRO 3 gathers once a micro-batch: twice the batch is twice the gathers."""
    found = with_layout(facts({"communication_s": 0.06}, {}), data=2, zero_stage=3)
    assert twin_of(judge(found), found).changes == {"parallel.zero_stage": 2}


def test_a_bubble_is_tested_by_smaller_pieces():
    found = pipeline([1.0] * 4, 4)
    twin = twin_of(judge(found), found)
    assert twin.changes == {"batch.micro_batch_size": 1}
    assert twin.predicted_share == pytest.approx(1 - (1 + 3 / 8) / (1 + 3 / 4), abs=0.01)


def test_each_turn_of_a_pipeline_on_a_cpu_costs_the_same_however_small_the_piece():
    """(m + p - 1) / m of m turns and the work: 4 and 8 micro-batches of 20 ms, of which a turn is 4."""
    found = pipeline([0.02] * 4, 4)
    before, after = (7 / 4) * 80, (11 / 8) * (64 + 8 * 4)
    assert twin_of(judge(found), found).predicted_share == pytest.approx(1 - after / before, abs=0.01)


@pytest.mark.parametrize("found", [facts({"data_wait_s": 0.06}, {}), facts({}, {"backward_s": 0.2})])
def test_what_no_field_can_move_has_no_twin_and_says_why(found):
    with pytest.raises(NoTwin, match="no field of a spec changes"):
        twin_of(judge(found), found)


def test_reductions_inside_layers_grow_with_the_batch():
    """Tensor parallel: twice the tokens are twice the reductions, so nothing is saved a token."""
    found = with_layout(facts({"communication_s": 0.05}, {}), data=1, tensor=2, zero_stage=0)
    gain = gain_of(found, changed(found.spec, {"batch.global_batch_size": 32}))
    assert gain.share == pytest.approx(0.02, abs=0.04)


def test_keeping_activations_saves_a_forward_pass():
    found = facts({}, {})
    recomputing = found.without(spec=spec(parallel={"activation_checkpointing": "full"}))
    gain = gain_of(recomputing, changed(recomputing.spec, {"parallel.activation_checkpointing": "none"}))
    assert gain.share == pytest.approx(0.03 / 0.104, abs=0.01)


def test_what_the_run_has_not_measured_is_not_predicted():
    found = facts({}, {})
    assert "bf16" in gain_of(found, changed(found.spec, {"precision.dtype": "bf16"})).said
    assert "devices" in gain_of(found, changed(found.spec, {"parallel.data": 4})).said


def test_a_short_spec_takes_no_place_from_others():
    values = spec(budget={"steps": 1000}, optimiser={"warmup_steps": 100}) | {"priority": "high"}
    found = short(parse(values))
    assert (found.priority, found.budget.validate_every, found.optimiser.warmup_steps) == ("normal", 0, 30)
