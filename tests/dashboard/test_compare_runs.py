"""Comparing runs: the address holds the choice, specs are laid side by side."""

from __future__ import annotations

COMPARE = "/compare/"


def test_without_a_choice_it_says_how_to_choose(owner_browser, make_job):
    make_job(name="candidate")
    text = owner_browser.get(COMPARE).text
    assert "Choose runs to compare" in text
    assert "candidate" in text


def test_the_address_chooses_runs_and_metrics_in_order(owner_browser, make_job):
    first, second = make_job(name="one").run, make_job(name="two").run
    answer = owner_browser.get(COMPARE, {"run": [second.id, first.id], "metric": ["step_s", "nonsense"]})
    assert [run.name for run in answer.context["runs"]] == ["two", "one"]
    assert [panel.metrics for panel in answer.context["panels"]] == [("step_s",)]


def test_fields_that_differ_stand_apart_from_equal_ones(owner_browser, make_job):
    runs = [make_job("seed=1").run.id, make_job("seed=2", "model.layers=3").run.id]
    rows = owner_browser.get(COMPARE, {"run": runs}).context["rows"]
    assert dict(rows["differ"]) == {"seed": [1, 2], "model.layers": [4, 3]}
    assert "model.width" in dict(rows["same"])


def test_an_absent_figure_is_a_dash_and_not_a_nought(owner_browser, make_job, give_metrics):
    with_loss, without = make_job().run, make_job().run
    give_metrics(with_loss, loss=3.0)
    answer = owner_browser.get(COMPARE, {"run": [with_loss.id, without.id]})
    assert dict(answer.context["figures"])["loss"] == [3.0, None]
    assert "–" in answer.text


def test_runs_of_one_name_are_told_apart(owner_browser, make_job):
    runs = [make_job(name="same").run.id, make_job(name="same").run.id]
    names = owner_browser.get(COMPARE, {"run": runs}).context["names"]["runs"]
    assert len(set(names.values())) == 2


def test_more_runs_than_can_be_told_apart_are_left_out_with_a_word(owner_browser, make_job):
    runs = [make_job().run.id for _ in range(21)]
    answer = owner_browser.get(COMPARE, {"run": runs})
    assert len(answer.context["runs"]) == 20
    assert "1 of the address left out" in answer.text


def test_a_strangers_run_is_left_out(stranger_browser, make_job):
    run = make_job(name="secret").run
    answer = stranger_browser.get(COMPARE, {"run": run.id})
    assert "secret" not in answer.text
    assert answer.context["runs"] == []
