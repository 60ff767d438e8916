"""Verdicts by the wall clock, from drawn clocks and losses of a step."""

from __future__ import annotations

import random

import pytest

from engine.spec.spec import parse
from engine.verdict import spec_edits
from engine.verdict.facts import from_json, to_json
from engine.verdict.judge import judge
from engine.verdict.rules import BY_ID, CLOCK_RULES
from tests.engine.verdict.cases import clock, facts, spec

SEED = 20261130
PART_OF_RULE = {
    "validation": "validation", "checkpoints": "checkpoint", "recording": "recording",
    "between_steps": "between_steps", "start_up": "build", "lost_work": "lost_steps",
}  # fmt: skip


def test_the_table_of_this_test_has_all_rules_of_the_clock():
    assert set(PART_OF_RULE) == {rule.id for rule in CLOCK_RULES}


@pytest.mark.parametrize("rule_id", PART_OF_RULE)
def test_drawn_clocks_are_named_by_their_greatest_part(rule_id: str):
    """40 cases a rule: a part of 12 to 95 % of the clock, over steps with a loss that takes less of the clock."""
    draw = random.Random(f"{SEED} {rule_id}")
    for _ in range(40):
        share = draw.uniform(0.12, 0.95)
        scale = draw.uniform(20.0, 200.0)
        seconds = 10.0 * scale * share / (1 - share)
        loss_of_clock = draw.uniform(0.0, max(0.0, share - 0.08))
        loss_of_step = min(0.9, loss_of_clock / (1 - share))
        wait_s = 0.1 * loss_of_step / (1 - loss_of_step)
        found = clock(
            step=10.0 * scale, lost=50, launch=0.0, first_step=0.0, **{PART_OF_RULE[rule_id]: seconds}
        )
        verdict = judge(facts({"data_wait_s": wait_s}, {"data_wait_s": wait_s}, clock=found))
        assert verdict.rules == (rule_id,), (share, loss_of_clock, verdict.name)
        assert verdict.share == pytest.approx(share, abs=0.001)
        assert verdict.severity == ("strong" if share > 0.2 else "notable")


def test_a_loss_of_the_steps_wins_where_it_takes_more_of_the_clock():
    draw = random.Random(SEED)
    for _ in range(40):
        validation = draw.uniform(0.0, 0.2)
        wait_s = draw.uniform(0.08, 0.4)
        found = clock(step=100.0, validation=100.0 * validation / (1 - validation))
        verdict = judge(facts({"data_wait_s": wait_s}, {"data_wait_s": wait_s}, clock=found))
        assert verdict.rules == ("input",), validation
        assert verdict.share == pytest.approx(wait_s / (wait_s + 0.103), abs=0.01)  # of the step, as before


def test_two_near_parts_make_the_verdict_mixed_and_the_sentence_says_of_what():
    verdict = judge(facts({"data_wait_s": 0.1}, {"data_wait_s": 0.1}, clock=clock(step=10.0, validation=4.8)))
    assert set(verdict.rules) == {"input", "validation"}
    assert "of each step" in verdict.sentence and "since the first step" in verdict.sentence


@pytest.mark.parametrize(
    "quiet",
    [
        clock(validation=1.0),  # 9 %
        clock(data=15.0),  # a start of less than 20 s
        clock(closing=30.0),  # after the last step
        clock(ending=30.0),
        clock(unexplained=30.0),
    ],
)
def test_below_the_threshold_nothing_is_named(quiet):
    verdict = judge(facts({}, {}, clock=quiet))
    assert verdict.rules == ("compute",) and not verdict.severity


def test_without_records_of_the_clock_the_verdict_is_that_of_the_steps():
    found = facts({"communication_s": 0.05}, {})
    assert judge(found.replace(clock=None)).rules == ("communication",)
    assert not [one for one in judge(found).findings if one.base != "each step"]


def test_the_remedy_of_validations_says_what_it_saves_of_the_clock():
    found = facts({}, {}, clock=clock(validation=10.0), spec=spec(budget={"validate_every": 1}))
    remedy = judge(found).remedies[0]
    assert remedy.changes == {"budget.validate_every": 10}
    assert remedy.gain_share == pytest.approx(0.5 * 0.9)


@pytest.mark.parametrize("rule", CLOCK_RULES, ids=lambda rule: rule.id)
def test_predicted_parts_follow_the_spec(rule):
    old = parse(spec(budget={"validate_every": 3, "checkpoint_every": 6, "steps": 1000}))
    for remedy in rule.remedies:
        changes = remedy.spec_edit(old) if remedy.spec_edit else None
        if changes and remedy.id.startswith(("fewer", "more")):
            left = rule.predict(old, spec_edits.apply_changes(old.model_dump(), changes))
            assert left == pytest.approx(0.1 if remedy.id.startswith("fewer") else 0.5)


def test_facts_with_a_clock_survive_json():
    found = facts({}, {}, clock=clock(recording=4.0, queued_s=5.0))
    assert from_json(to_json(found)).clock == found.clock
    assert BY_ID["recording"].title == "Recording"
