"""Run table: filter, order, columns, groups, pinned and hidden runs in the address."""

from __future__ import annotations

import math
import random
import re
from unittest.mock import patch

import pytest

from jobs.models import Run
from jobs.states.jobs import JobState
from jobs.tracking import external_runs, params, run_annotations
from tests.dashboard.conftest import set_state
from tests.dashboard.page_text import collapse

RUNS = "/runs/"


def names(answer) -> list[str]:
    return [row.run.name for row in answer.context["page"].rows]


def cells(answer) -> list[list[str]]:
    return [[str(cell.text) for cell in row.cells] for row in answer.context["page"].rows]


def test_runs_show_their_newest_values_with_units(owner_browser, make_job, give_metrics):
    run = make_job(name="first").run
    give_metrics(run, loss=2.5, tokens_per_s=1500.0)
    text = owner_browser.get(RUNS).text
    assert "2.5" in text
    assert "1.50 k/s" in text
    assert f'name="run" value="{run.id}"' in text


def test_a_filter_finds_runs_with_a_job_and_without(owner_browser, make_job, give_metrics, team, owner):
    give_metrics(set_state(make_job(name="good"), JobState.SUCCEEDED).run, loss=1.0)
    make_job(name="waiting")
    give_metrics(external_runs.create(team=team, owner=owner, name="logged", origin="test"), loss=1.5)
    assert names(owner_browser.get(RUNS, {"filter": "loss < 2"})) == ["logged", "good"]
    assert names(owner_browser.get(RUNS, {"filter": "state:succeeded"})) == ["good"]
    assert names(owner_browser.get(RUNS, {"filter": "wait"})) == ["waiting"]
    assert "No run matches" in owner_browser.get(RUNS, {"filter": "nothing"}).text


def test_an_invalid_filter_points_at_the_character(owner_browser, make_job):
    make_job()
    text = owner_browser.get(RUNS, {"filter": "stat:running and x"}).text
    assert "The nearest is state:." in text
    assert "stat:running and x\n^^^^^" in text
    assert 'value="stat:running and x"' in text  # the typed text is kept


def test_an_unknown_column_in_the_address_is_left_out_with_a_message(owner_browser, make_job):
    make_job(name="there")
    answer = owner_browser.get(RUNS, {"col": ["state", "nonsense"], "sort": "drop table"})
    assert "&#x27;nonsense&#x27; is not a column" in answer.text
    assert names(answer) == ["there"]


def test_a_stranger_sees_no_run_and_no_completion(stranger_browser, make_job, give_metrics):
    run = make_job(name="secret").run
    params.store(run, {"secret_key": "1"})
    assert "secret" not in stranger_browser.get(RUNS).text
    assert "secret" not in stranger_browser.get(RUNS, {"pin": run.id, "only": run.id}).text
    assert "secret_key" not in stranger_browser.get("/runs/columns/").text
    assert stranger_browser.get("/runs/complete/", {"text": "secret"}).json()["items"] == []


@pytest.mark.parametrize(
    ("sort", "wanted"),
    [
        ("last(loss)", ["low", "high", "new", "odd", "absent"]),
        ("-last(loss)", ["new", "high", "low", "odd", "absent"]),
        ("name", ["absent", "high", "low", "new", "odd"]),
        ("-created", ["new", "odd", "absent", "low", "high"]),
        ("", ["new", "odd", "absent", "low", "high"]),
    ],
)
def test_runs_sort_by_any_column_with_absent_values_last(owner_browser, make_job, give_metrics, sort, wanted):
    losses = {"high": 10.5, "low": 9.0, "absent": None, "odd": math.nan, "new": 11.0}
    for name, loss in losses.items():
        give_metrics(make_job(name=name).run, **({} if loss is None else {"loss": loss}))
    assert names(owner_browser.get(RUNS, {"sort": sort, "page": "1"})) == wanted


def test_a_column_head_sorts_and_reverses_the_order(owner_browser, make_job):
    make_job()
    assert "?sort=last(loss)" in owner_browser.get(RUNS).text
    text = owner_browser.get(RUNS, {"sort": "last(loss)", "filter": "tiny"}).text
    assert 'aria-sort="ascending"' in text
    assert "?filter=tiny&amp;sort=-last(loss)" in text
    assert "?sort=-last(tokens_per_s)" in owner_browser.get(RUNS, {"page": "1"}).text  # the fastest first
    assert "Runs without a value come last" in text


def test_the_order_is_kept_on_other_pages(owner_browser, make_job):
    for number in range(3):
        make_job(name=f"run-{number}")
    with patch("dashboard.pages.table.rows.ROWS_A_PAGE", 2):
        first = owner_browser.get(RUNS, {"sort": "name"})
        assert "?sort=name&amp;page=2" in first.text
        assert "1 to 2 of 3" in first.text
        second = owner_browser.get(RUNS, {"sort": "name", "page": "2"})
    assert names(second) == ["run-2"]


def test_every_field_of_a_run_can_be_a_column(owner_browser, make_job, give_metrics):
    run = make_job("model.layers=3", name="one").run
    give_metrics(run, loss=2.0, **{"train/acc": 0.5})
    params.store(run, {"my flag": "on"})
    external_runs.set_tags(run, {"stage": "final", "good": ""})
    query = [
        "param:model.layers",
        "min(loss)",
        'last("train/acc")',
        'param:"my flag"',
        "tag:stage",
        "tag:good",
        "devices",
        "pool",
    ]
    answer = owner_browser.get(RUNS, {"col": query})
    assert cells(answer) == [["3", "2", "0.5", "on", "final", "✓", "2", "default"]]
    assert "Lowest training loss" in answer.text
    heads = {column.key: column.is_number for column in answer.context["page"].columns}
    assert heads["param:model.layers"] and not heads['param:"my flag"']


def test_the_best_value_of_a_column_is_marked_where_the_better_direction_is_known(
    owner_browser, make_job, give_metrics
):
    for name, loss, speed in (("a", 1.0, 10.0), ("b", 2.0, 20.0), ("c", math.nan, 15.0)):
        give_metrics(make_job(name=name).run, loss=loss, tokens_per_s=speed, oddity=speed)
    query = {"col": ["last(loss)", "last(tokens_per_s)", "last(oddity)"]}
    rows = owner_browser.get(RUNS, query).context["page"].rows
    best = {(row.run.name, cell.column.key) for row in rows for cell in row.cells if cell.is_best}
    assert best == {("a", "last(loss)"), ("b", "last(tokens_per_s)")}


def test_only_parameters_that_differ_can_be_shown(owner_browser, make_job):
    make_job("model.layers=3", name="a"), make_job("model.layers=4", name="b")
    columns = owner_browser.get(RUNS, {"col": "state", "differs": "1"}).context["page"].columns
    assert [column.key for column in columns] == ["state", "param:model.layers", "param:name"]


def test_pinned_runs_come_first_and_hidden_runs_are_marked(owner_browser, make_job):
    made = {name: make_job(name=name).run.id for name in ("alpha", "beta", "gamma")}
    query = {"sort": "name", "pin": made["gamma"], "hide": made["alpha"], "filter": "not gamma"}
    answer = owner_browser.get(RUNS, query)
    assert names(answer) == ["gamma", "alpha", "beta"]
    assert [row.is_hidden for row in answer.context["page"].rows] == [False, True, False]


def test_columns_and_order_are_restored_per_user_and_the_filter_is_only_offered(
    owner_browser, browser_of, team_mate, make_job
):
    make_job(name="tiny")
    make_job(name="other")
    owner_browser.get(
        RUNS, {"filter": "tiny", "sort": "-name", "col": ["state", "param:seed"], "group": "pool"}
    )
    back = owner_browser.get(RUNS)
    assert back.status_code == 302
    assert back.url == "/runs/?sort=-name&col=state&col=param:seed&group=pool"
    shown = collapse(owner_browser.get(back.url).text)
    assert 'data-total="2"' in shown and 'Last filter</span> <span class="clip">tiny' in shown
    assert browser_of(team_mate).get(RUNS).status_code == 200
    owner_browser.get(RUNS, {"page": "1"})
    assert owner_browser.get(RUNS).status_code == 200


@pytest.mark.parametrize("seed", range(8))
def test_a_filter_says_how_many_runs_it_hides(owner_browser, make_job, seed):
    drawn = random.Random(seed)
    names = [drawn.choice(["red", "blue", "green"]) for _ in range(drawn.randint(1, 7))]
    for name in names:
        make_job(name=name)
    wanted = drawn.choice(["red", "blue", "grey"])
    shown = collapse(owner_browser.get(RUNS, {"filter": wanted}).text)
    hidden = len(names) - names.count(wanted)
    assert f"{hidden} run{'' if hidden == 1 else 's'} hidden" in shown
    assert 'aria-label="Clear the filter' in shown and "Clear filter" in shown
    assert "hidden</span>" not in collapse(owner_browser.get(RUNS, {"page": "1"}).text)


def test_refreshed_rows_are_not_marked_as_the_best(owner_browser, make_job, give_metrics):
    runs = [make_job().run for _ in range(3)]
    for run, loss in zip(runs, (1.0, 2.0, 3.0), strict=True):
        give_metrics(run, loss=loss)
    assert "is-best" in owner_browser.get(RUNS).text
    assert "is-best" not in owner_browser.get(RUNS, {"only": [run.id for run in runs[1:]]}).text


def test_single_rows_can_be_refreshed(owner_browser, make_job):
    one, _ = make_job(name="one").run, make_job(name="two")
    text = owner_browser.get(RUNS, {"only": one.id, "filter": "nothing matches"}).text
    assert re.findall(r'<tr id="run-(\w+)"', text) == [one.id]


def test_groups_have_count_mean_extremes_and_spread(owner_browser, make_job, give_metrics):
    for layers, loss in ((3, 1.0), (3, 3.0), (4, 7.0), (4, math.inf), (5, math.nan)):
        give_metrics(make_job(f"model.layers={layers}").run, loss=loss)
    answer = owner_browser.get(RUNS, {"group": "param:model.layers", "col": ["last(loss)", "state"]})
    found = {
        group.names[0][1]: (group.count, group.statistics[0]) for group in answer.context["grouped"].groups
    }
    count, statistics = found["3"]
    assert (count, statistics.mean, statistics.low, statistics.high) == (2, 2.0, 1.0, 3.0)
    assert statistics.spread == pytest.approx(math.sqrt(2))
    assert (found["4"][0], found["4"][1].mean, found["4"][1].spread, found["4"][1].count) == (2, 7.0, None, 1)
    assert found["5"][1].mean is None
    assert "param:model.layers = 3" in answer.text


def test_groups_of_several_fields_find_their_runs(owner_browser, make_job, give_metrics, team, owner):
    give_metrics(make_job("model.layers=3").run, loss=1.0)
    external_runs.set_tags(make_job("model.layers=3").run, {"stage": "a b"})
    external_runs.create(team=team, owner=owner, name="bare", origin="test")
    query = {"group": ["tag:stage", "state", "devices"], "col": "last(loss)", "sort": "-last(loss)"}
    groups = owner_browser.get(RUNS, query).context["grouped"].groups
    assert sum(group.count for group in groups) == 3
    assert groups[0].statistics[0].mean == 1.0
    for group in groups:
        found = owner_browser.get(RUNS, {"filter": group.filter, "part": "rows"})
        assert len(names(found)) == group.count, group.filter


def test_a_group_of_odd_values_finds_its_runs(owner_browser, make_job):
    for value in ("none", "nan", "a (b)", 'quo"te', "", "me"):
        params.store(make_job().run, {"odd": value})
    groups = owner_browser.get(RUNS, {"group": "param:odd"}).context["grouped"].groups
    assert len(groups) == 6
    for group in groups:
        assert len(names(owner_browser.get(RUNS, {"filter": group.filter, "part": "rows"}))) == 1, (
            group.filter
        )


def test_the_column_picker_lists_all_fields_with_their_number_of_runs(owner_browser, make_job, give_metrics):
    run = make_job().run
    give_metrics(run, loss=1.0)
    external_runs.set_tags(run, {"stage": "final"})
    text = owner_browser.get("/runs/columns/", {"col": ["param:seed"], "group": "tag:stage"}).text
    for key in ("last(loss)", "param:model.layers", "tag:stage", "state"):
        assert f'value="{key}"' in text
    assert '<li draggable="true" tabindex="0" data-key="param:seed">' in text


def test_child_runs_and_archived_runs_are_marked(owner_browser, make_job, team, owner):
    parent = make_job(name="parent").run
    child = external_runs.create(team=team, owner=owner, name="child", origin="test", parent=parent)
    text = owner_browser.get(RUNS).text
    assert "1 child run" in text
    assert f"↳ {parent.name}" in text
    run_annotations.archive(Run.objects.filter(id=child.id), actor="olga")
    assert names(owner_browser.get(RUNS, {"page": "1"})) == ["parent"]
    assert names(owner_browser.get(RUNS, {"filter": "is:archived"})) == ["child"]


def test_a_viewer_sees_runs_and_no_write_actions(viewer_browser, make_job):
    make_job(name="seen")
    text = viewer_browser.get(RUNS).text
    assert "seen" in text
    assert "data-writable" not in text
    assert 'data-act="tag"' not in text


def test_texts_of_users_and_programs_are_escaped(owner_browser, team, owner):
    bad = '<img src=x onerror="x">'
    parent = external_runs.create(team=team, owner=owner, name=bad, origin="test")
    run = external_runs.create(team=team, owner=owner, name=bad, origin="test", parent=parent)
    external_runs.set_tags(run, {bad: bad})
    params.store(run, {bad: bad})
    query = {"col": [f'param:"{bad}"'.replace('"x"', '\\"x\\"'), "parent", "origin"], "filter": bad}
    assert "<img" not in owner_browser.get(RUNS, query).text
    assert "<img" not in owner_browser.get(RUNS, {"col": query["col"]}).text
    assert "<img" not in owner_browser.get("/runs/columns/", {"page": "1"}).text
    assert "<img" not in owner_browser.get(RUNS, {"group": query["col"][0]}).text
    assert "<img" not in owner_browser.get(f"/runs/{run.id}/about/").text
