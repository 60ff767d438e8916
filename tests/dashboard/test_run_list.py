"""The list of runs, from which runs are chosen to compare."""

from __future__ import annotations

from jobs.models import Run
from jobs.states import JobState
from tests.dashboard.conftest import set_state

RUNS = "/runs/"


def test_runs_stand_with_their_newest_figures(owner_browser, make_job):
    run = make_job(name="first").run
    Run.objects.update(headline={"loss": 2.5, "tokens_per_s": 1500.0})
    text = owner_browser.get(RUNS).text
    assert "2.5" in text
    assert "1.50 k/s" in text
    assert f'name="run" value="{run.id}"' in text


def test_state_and_words_filter(owner_browser, make_job):
    set_state(make_job(name="good"), JobState.SUCCEEDED)
    make_job(name="waiting")
    names = [run.name for run in owner_browser.get(RUNS, {"state": "succeeded"}).context["page"]]
    assert names == ["good"]
    assert [run.name for run in owner_browser.get(RUNS, {"q": "wait"}).context["page"]] == ["waiting"]
    assert "No run matches" in owner_browser.get(RUNS, {"q": "nothing like it"}).text


def test_a_stranger_sees_none(stranger_browser, make_job):
    make_job(name="secret")
    assert "secret" not in stranger_browser.get(RUNS).text
