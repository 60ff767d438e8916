"""Verdict columns of the runs table: filter and order."""

from __future__ import annotations

import pytest
from django.utils import timezone

from engine.verdict.rules import RULES_VERSION
from jobs import runs, verdicts
from jobs.models import Run


@pytest.fixture
def some(trained):
    made = {
        "data": trained({"data_wait_s": 0.06}, {}),
        "link": trained({"communication_s": 0.05}, {}),
        "both": trained({"data_wait_s": 0.05, "communication_s": 0.05}, {"data_wait_s": 0.05}),
        "clean": trained({}, {}),
        "empty": trained({}, {}, steps=2),
    }
    for name, job in made.items():
        Run.objects.filter(id=job.run.id).update(name=name)
        verdicts.judge_run(job.run)
    return made


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("verdict:communication", {"link", "both"}),
        ("verdict = communication", {"link"}),
        ("verdict:input", {"data", "both"}),
        ("limit = bandwidth and share > 0.2", {"link"}),
        ("limit:mixed", {"both"}),
        ("limit in (compute, bandwidth)", {"data", "link", "clean"}),
        ("severity = strong", {"data", "link", "both"}),
        ("verdict = none", {"empty"}),
        ("share > 0.9", {"clean"}),
        ("not verdict:compute", {"data", "link", "both", "empty"}),
    ],
)
def test_runs_are_found_by_their_verdict(some, team, text, names):
    asker = runs.Asker(Run.objects.filter(team=team), "olga", timezone.now())
    assert {run.name for run in runs.filtered(asker.runs, text, asker)} == names


def test_runs_are_sorted_by_the_cost_of_their_limit(some, team):
    found = runs.ordered(Run.objects.filter(team=team), runs.field_from_text("share"), is_descending=True)
    names = [run.name for run in found]
    assert (names[0], names[-1]) == ("clean", "empty")


def test_the_newest_rules_count(some, team, monkeypatch):
    monkeypatch.setattr("engine.verdict.judge.RULES_VERSION", RULES_VERSION + 1)
    monkeypatch.setattr("jobs.verdicts.gather._get_absence_reason", lambda run, job: "not by these rules")
    verdicts.judge_run(some["link"].run)
    asker = runs.Asker(Run.objects.filter(team=team), "olga", timezone.now())
    assert {run.name for run in runs.filtered(asker.runs, "verdict:communication", asker)} == {"both"}
