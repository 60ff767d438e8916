"""The list of runs, from which runs are chosen to compare."""

from __future__ import annotations

import math
from unittest.mock import patch

import pytest

from jobs.states import JobState
from tests.dashboard.conftest import set_state

RUNS = "/runs/"


def test_runs_stand_with_their_newest_figures(owner_browser, make_job, give_metrics):
    run = make_job(name="first").run
    give_metrics(run, loss=2.5, tokens_per_s=1500.0)
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


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("loss", ["low", "high", "new", "odd", "absent"]),
        ("-loss", ["new", "high", "low", "odd", "absent"]),
        ("name", ["absent", "high", "low", "new", "odd"]),
        ("-began", ["new", "odd", "absent", "low", "high"]),
        ("", ["new", "odd", "absent", "low", "high"]),
        ("drop table", ["new", "odd", "absent", "low", "high"]),
    ],
)
def test_any_column_puts_the_runs_in_order_and_what_is_absent_comes_last(
    owner_browser, make_job, give_metrics, sort, names
):
    headlines = {
        "high": {"loss": 10.5},
        "low": {"loss": 9},
        "absent": {},
        "odd": {"loss": math.nan},
        "new": {"loss": 11},
    }
    for name, headline in headlines.items():
        give_metrics(make_job(name=name).run, **headline)
    assert [run.name for run in owner_browser.get(RUNS, {"sort": sort}).context["page"]] == names


def test_a_head_sorts_and_the_next_press_turns_it_round(owner_browser, make_job):
    make_job()
    assert "?sort=loss" in owner_browser.get(RUNS).text
    sorted_page = owner_browser.get(RUNS, {"sort": "loss", "q": "tiny"}).text
    assert 'aria-sort="ascending"' in sorted_page
    assert "?q=tiny&amp;sort=-loss" in sorted_page
    assert "?sort=-speed" in owner_browser.get(RUNS).text  # the fastest first


def test_the_order_outlives_the_pages(owner_browser, make_job):
    for number in range(3):
        make_job(name=f"run-{number}")
    with patch("dashboard.views.runs.ROWS_A_PAGE", 2):
        first = owner_browser.get(RUNS, {"sort": "name"})
        assert "?sort=name&amp;page=2" in first.text
        second = owner_browser.get(RUNS, {"sort": "name", "page": "2"})
    assert [run.name for run in second.context["page"]] == ["run-2"]
