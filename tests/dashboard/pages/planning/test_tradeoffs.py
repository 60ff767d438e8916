"""Trade-offs page: runs, fields and values for its charts."""

from __future__ import annotations

import json
import math
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import series
from jobs.series import Point
from jobs.tracking import external_runs, params


@pytest.fixture
def make_run(owner, team):
    def make(name, *, lr="0.1", loss=2.0, **metrics):
        run = external_runs.create(team=team, owner=owner, name=name, origin="fourwalls")
        params.store(run, {"name": name, "lr": lr, "seed": "1"})
        points = [Point(key, "run", 1, 1.0, value) for key, value in ({"loss": loss} | metrics).items()]
        series.append(run.id, 1, "s", 0, points)
        return run

    return make


def data_of(answer):
    return json.loads(re.search(r'id="tradeoffs-data"[^>]*>(.*?)</script>', answer.text, re.DOTALL)[1])


def texts(data, places):
    return [data["fields"][place]["text"] for place in places]


def test_goals_and_differing_parameters_are_chosen_when_none_are(owner_browser, make_run):
    make_run("a", lr="0.1", tokens_per_s=100.0)
    make_run("b", lr="0.2", tokens_per_s=200.0)
    data = data_of(owner_browser.get("/trade-offs/"))
    assert texts(data, [data["y"], data["x"]]) == ["last(loss)", "last(tokens_per_s)"]
    assert [data["fields"][data[axis]]["best"] for axis in ("y", "x")] == ["low", "high"]
    assert texts(data, data["axes"])[0] == "param:lr"
    assert not {"param:seed", "param:name"} & set(texts(data, data["axes"]))


def test_values_are_numbers_texts_or_absent(owner_browser, make_run):
    make_run("a", loss=math.nan)
    make_run("b", lr="auto", loss=1.5, grad_norm=3.0)
    data = data_of(
        owner_browser.get("/trade-offs/?axis=param:lr&axis=last(grad_norm)&y=min(loss)&x=last(loss)")
    )
    place = {field["text"]: index for index, field in enumerate(data["fields"])}
    rows = {row["name"]: row["values"] for row in data["rows"]}
    assert [rows["a"][place[name]] for name in ("param:lr", "last(grad_norm)", "last(loss)")] == [
        0.1,
        None,
        "NaN",
    ]
    assert [rows["b"][place[name]] for name in ("param:lr", "last(grad_norm)", "min(loss)")] == [
        "auto",
        3.0,
        1.5,
    ]


def test_a_filter_and_chosen_runs_limit_the_data(owner_browser, make_run):
    kept = make_run("kept", loss=1.0)
    make_run("bad", loss=9.0)
    assert [row["name"] for row in data_of(owner_browser.get("/trade-offs/?filter=loss+<+2"))["rows"]] == [
        "kept"
    ]
    assert [row["id"] for row in data_of(owner_browser.get(f"/trade-offs/?run={kept.id}"))["rows"]] == [
        kept.id
    ]


def test_an_invalid_filter_or_field_is_refused_where_it_was_given(owner_browser, make_run):
    make_run("a")
    answer = owner_browser.get("/trade-offs/?filter=loss+<&axis=nonsense!")
    assert 'aria-invalid="true"' in answer.text and 'value="loss &lt;"' in answer.text
    assert "is not a column" in answer.text


def test_there_is_a_page_without_runs(owner_browser):
    assert "No run yet" in owner_browser.get("/trade-offs/").text
    assert "No run matches" in owner_browser.get("/trade-offs/?filter=loss+<+2").text


def test_a_stranger_sees_no_run_of_another_team(stranger_browser, make_run):
    run = make_run("secret")
    for address in ("/trade-offs/", f"/trade-offs/?run={run.id}"):
        assert "secret" not in stranger_browser.get(address).text


def test_a_name_cannot_escape_from_the_data(owner_browser, make_run):
    make_run("</script><script>alert(1)</script>")
    assert "<script>alert" not in owner_browser.get("/trade-offs/").text


def test_twice_the_runs_take_the_same_queries(owner_browser, make_run):
    def queries():
        with CaptureQueriesContext(connection) as seen:
            owner_browser.get("/trade-offs/")
        return len(seen)

    for number in range(3):
        make_run(f"run {number}", lr=str(number))
    few = queries()
    for number in range(3, 9):
        make_run(f"run {number}", lr=str(number))
    assert queries() == few
