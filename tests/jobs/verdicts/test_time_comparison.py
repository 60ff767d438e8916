"""Time per token of several runs, compared with the first."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import verdicts
from jobs.models import CheckState, Run, VerdictCheck
from jobs.tracking import external_runs
from jobs.verdicts.time_comparison import compare_times

pytestmark = pytest.mark.django_db


@pytest.fixture
def judged(trained) -> list[Run]:
    """Three runs, the first with a slow link."""
    runs = [trained({"communication_s": 0.05}, {}).run, trained({}, {}).run, trained({}, {}).run]
    for run in runs:
        verdicts.judge_run(run)
    return runs


def test_runs_are_compared_with_the_first(judged):
    found = compare_times(judged)
    assert found.first == judged[0]
    assert [row.message for row in found.rows][:2] == [
        "", "is 32 % faster: 32 points less exposed communication.",
    ]  # fmt: skip
    assert found.rows[0].spent.token_s > found.rows[1].spent.token_s
    assert found.rows[0].verdict == "communication"


def test_a_run_without_judged_steps_is_passed_over_and_has_the_reason(judged, make_job, team, owner):
    logged = external_runs.create(team=team, owner=owner, name="logged", origin="mlflow")
    verdicts.judge_run(logged)
    unjudged = make_job().run
    found = compare_times([logged, unjudged, *judged])
    assert found.first == judged[0]
    assert [row.spent for row in found.rows[:2]] == [None, None]
    assert "reports neither steps" in found.rows[0].message and found.rows[1].message == ""
    assert compare_times([logged, unjudged]).first is None


def test_more_runs_take_the_same_number_of_queries(judged):
    for runs in (judged[:1], judged):
        with CaptureQueriesContext(connection) as seen:
            compare_times(runs)
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("predicted", "observed", "holds"), [(0.20, 0.16, True), (0.20, 0.26, False), (0.20, None, None)]
)
def test_a_check_holds_within_five_points(predicted: float, observed: float | None, holds: bool | None):
    check = VerdictCheck(predicted_share=predicted, observed_share=observed, state=CheckState.DONE)
    assert check.holds is holds and not check.is_live
    assert VerdictCheck(state=CheckState.TWIN).is_live
