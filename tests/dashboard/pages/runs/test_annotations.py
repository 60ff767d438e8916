"""Names, notes, colours, tags and archive state of one run or of all matching runs."""

from __future__ import annotations

import pytest

from jobs.models import Run, RunEvent, RunTag

HX = {"HX-Request": "true"}


def change(browser, run, **values):
    return browser.post(f"/runs/{run.id}/change/", values, headers=HX)


def many(browser, act, **values):
    return browser.post(f"/runs/many/{act}/", values, headers=HX)


@pytest.fixture
def run(make_job) -> Run:
    return make_job(name="first").run


def told(run: Run) -> list[tuple[str, str]]:
    return list(RunEvent.objects.filter(run=run).values_list("actor", "kind"))


def test_a_run_is_renamed_and_the_event_names_the_user(owner_browser, run):
    assert change(owner_browser, run, name="better").status_code == 204
    run.refresh_from_db()
    assert run.name == "better"
    assert told(run) == [("olga", "run.name")]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "  "}, "A name has 1 to 250 characters"),
        ({"name": "x" * 251}, "this one has 251"),
        ({"note": "x" * 20_001}, "at most 20,000 characters"),
        ({"note": "a\0b"}, "NUL"),
        ({"colour": "red"}, "'red' is not a colour"),
    ],
)
def test_an_invalid_value_is_refused_with_its_reason(owner_browser, run, values, sentence):
    answer = change(owner_browser, run, **values)
    assert answer.status_code == 409
    assert sentence in answer.text
    assert told(run) == []


def test_a_colour_is_set_and_reset(owner_browser, run):
    change(owner_browser, run, colour="#12ab34")
    assert "--stroke: #12ab34" in owner_browser.get("/runs/").text
    change(owner_browser, run, colour="")
    assert "--stroke: oklch" in owner_browser.get("/runs/?page=1").text


def test_tags_are_added_to_and_removed_from_many_runs(owner_browser, make_job):
    runs = [make_job().run for _ in range(3)]
    answer = many(owner_browser, "tag", run=[run.id for run in runs[:2]], add="baseline, stage=final")
    assert "2 runs tagged." in answer.headers["HX-Trigger"]
    assert RunTag.objects.filter(key="stage", value="final").count() == 2
    many(owner_browser, "tag", run=[runs[0].id], add="stage=first", drop="baseline")
    assert dict(runs[0].tags.values_list("key", "value")) == {"stage": "first"}
    assert RunEvent.objects.filter(run=runs[0]).last().text == "+stage=first, -baseline"
    assert told(runs[2]) == []


def test_all_matching_runs_are_counted_and_changed(owner_browser, make_job):
    for name in ("alpha-1", "alpha-2", "beta"):
        make_job(name=name)
    assert owner_browser.get("/runs/count/", {"all": "1", "filter": "alpha"}).json() == {"count": 2}
    answer = many(owner_browser, "archive", all="1", filter="alpha")
    assert "2 runs archived." in answer.headers["HX-Trigger"]
    assert set(Run.objects.filter(archived_at=None).values_list("name", flat=True)) == {"beta"}
    many(owner_browser, "restore", all="1", filter="is:archived and alpha-1")
    assert set(Run.objects.filter(archived_at=None).values_list("name", flat=True)) == {"beta", "alpha-1"}
    assert RunEvent.objects.filter(kind="run.archived", actor="olga").count() == 2


def test_archiving_twice_records_one_event(owner_browser, run):
    first, second = (many(owner_browser, "archive", run=[run.id]) for _ in range(2))
    assert "1 run archived." in first.headers["HX-Trigger"]
    assert "0 runs archived." in second.headers["HX-Trigger"]
    assert told(run) == [("olga", "run.archived")]
    assert '"undo"' in first.headers["HX-Trigger"]


def test_an_invalid_filter_or_tag_is_refused_and_changes_nothing(owner_browser, run):
    assert many(owner_browser, "archive", all="1", filter="loss <").status_code == 409
    refused = many(owner_browser, "tag", run=[run.id], add="=x")
    assert (refused.status_code, "is not a tag" in refused.text) == (409, True)
    assert many(owner_browser, "burn", run=[run.id]).status_code == 404
    assert told(run) == []


def test_a_stranger_gets_404_and_changes_nothing(stranger_browser, run):
    assert change(stranger_browser, run, name="mine").status_code == 404
    for act in ("tag", "archive"):
        assert "0 runs" in many(stranger_browser, act, run=[run.id], add="x").headers["HX-Trigger"]
        assert "0 runs" in many(stranger_browser, act, all="1", add="x").headers["HX-Trigger"]
    assert stranger_browser.get("/runs/count/", {"all": "1"}).json() == {"count": 0}
    assert told(run) == []


def test_a_viewer_cannot_write(viewer_browser, run):
    assert change(viewer_browser, run, name="mine").status_code == 404
    assert "0 runs" in many(viewer_browser, "archive", all="1").headers["HX-Trigger"]
    assert viewer_browser.get("/runs/count/", {"all": "1"}).json() == {"count": 0}
    assert told(run) == []


def test_more_runs_take_the_same_number_of_queries(owner_browser, make_job, django_assert_max_num_queries):
    ids = [make_job().run.id for _ in range(12)]
    with django_assert_max_num_queries(14):
        many(owner_browser, "tag", run=ids, add="a,b", drop="c")
