"""Facts that real ranks left, kept as they were: the verdict of each stays what it was, or the rules get a new version.

Recorded from tests/engine/rank/bottlenecks.py; each file says when and on what.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.verdict.judge import RULES_VERSION, from_json, judge

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_facts_get_the_verdict_that_they_got(path: Path):
    kept = json.loads(path.read_text())
    verdict = judge(from_json(kept["facts"]))
    was = kept["verdict"]
    assert (verdict.name, verdict.limit, verdict.severity) == (was["name"], was["limit"], was["severity"])
    assert verdict.share == pytest.approx(was["share"], abs=0.001)
    assert [state.rule for state in verdict.states] == was["states"]
    assert "not separable" in verdict.sentence or verdict.name != "compute"


def test_they_are_of_the_rules_of_today():
    """Whoever changes the rules so that one of these differs raises the version and records what is new."""
    assert RULES_VERSION == 1 and len(RECORDED) >= 12
