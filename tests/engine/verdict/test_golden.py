"""Golden verdicts of facts recorded from real ranks.

The facts are those of the cases of tests/engine/rank/bottlenecks.py; each file has its date and machine. A verdict
changes only with a new version of the rules.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.verdict.judge import RULES_VERSION, from_json, judge

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_facts_keep_their_verdict(path: Path):
    recorded = json.loads(path.read_text())
    verdict, expected = judge(from_json(recorded["facts"])), recorded["verdict"]
    assert (verdict.name, verdict.limit) == (expected["name"], expected["limit"])
    assert verdict.severity == expected["severity"]
    assert verdict.share == pytest.approx(expected["share"], abs=0.001)
    assert [state.rule for state in verdict.states] == expected["states"]
    assert "not separable" in verdict.sentence or verdict.name != "compute"


def test_golden_verdicts_belong_to_the_current_rules():
    """A change that alters one of them raises the version and records new ones."""
    assert RULES_VERSION == 4 and len(RECORDED) >= 12
