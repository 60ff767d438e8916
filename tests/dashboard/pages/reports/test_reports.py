"""Reports: text with live charts of the runs that the reader may see."""

from __future__ import annotations

import json
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import series
from jobs.models import Report
from jobs.people import sharing
from jobs.series import Point
from jobs.tracking import external_runs


@pytest.fixture
def make_run(owner, team):
    def make(name="trial"):
        run = external_runs.create(team=team, owner=owner, name=name, origin="fourwalls")
        series.append(
            run.id, 1, "s", 0, [Point("loss", "run", 1, 1.0, 2.0), Point("acc", "run", 1, 1.0, 0.5)]
        )
        return run

    return make


@pytest.fixture
def make_report(owner, team):
    def make(text, title="Findings"):
        return sharing.create_report(team=team, owner=owner, title=title, text=text)

    return make


def blocks(answer):
    return re.findall(r'data-charts data-query="([^"]*)"\s+data-runs="([^"]*)"', answer.text)


def test_a_report_is_written_read_and_changed(owner_browser, team):
    made = owner_browser.post("/reports/write/", {"title": "First", "text": "It is **faster**."})
    page = owner_browser.get(made.url)
    assert "<strong>faster</strong>" in page.text and "First" in page.text
    report = Report.objects.get()
    owner_browser.post(f"/reports/{report.id}/change/", {"title": "Second", "text": "Slower.", "seen": "1"})
    report.refresh_from_db()
    assert (report.title, report.text, report.version) == ("Second", "Slower.", 2)


def test_the_address_of_a_compare_page_is_replaced_by_its_charts(owner_browser, make_run, make_report):
    run = make_run()
    report = make_report(
        f"Before.\n\nhttp://host/compare/?run={run.id}&metric=loss&smooth=0.6&open=loss\n\nAfter."
    )
    page = owner_browser.get(f"/reports/{report.id}/")
    assert blocks(page) == [(f"run={run.id}&amp;metric=loss&amp;smooth=0.6", run.id)]
    assert page.text.index("Before.") < page.text.index("data-charts") < page.text.index("After.")
    assert 'data-metrics="loss"' in page.text and 'data-metrics="acc"' not in page.text
    names = json.loads(re.search(r'id="chart-names"[^>]*>(.*?)</script>', page.text)[1])
    assert names["runs"][run.id]["name"] == "trial"


def test_a_saved_view_and_a_filter_are_replaced_by_charts(owner_browser, owner, team, make_run, make_report):
    run = make_run()
    view = sharing.save_view(team=team, owner=owner, page="compare", name="v", query=f"run={run.id}")
    report = make_report(f"/v/{view.id}/\n\n/compare/?filter=loss+<+3\n")
    assert [runs for _, runs in blocks(owner_browser.get(f"/reports/{report.id}/"))] == [run.id, run.id]


@pytest.mark.parametrize(
    "line", ["See /compare/?run=x for more.", "`/compare/?run=x`", "- /compare/?run=x", "/runs/x/"]
)
def test_an_address_within_a_text_stays_text(owner_browser, make_report, line):
    assert blocks(owner_browser.get(f"/reports/{make_report(line).id}/")) == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/compare/?run=nonsense", "No run of this page exists"),
        ("/compare/?filter=loss+<", "value is missing"),
        ("/v/nonsense/", "does not exist, or you have no access"),
    ],
)
def test_charts_that_cannot_be_drawn_show_the_reason(owner_browser, make_run, make_report, address, message):
    make_run()
    page = owner_browser.get(f"/reports/{make_report(address).id}/").text
    assert message in page


def test_a_reader_sees_only_runs_of_their_teams(stranger_browser, viewer_browser, make_run, make_report):
    run = make_run("secret")
    report = make_report(f"/compare/?run={run.id}")
    assert blocks(viewer_browser.get(f"/reports/{report.id}/"))
    assert stranger_browser.get(f"/reports/{report.id}/").status_code == 404
    page = stranger_browser.get("/reports/").text
    assert "Findings" not in page
    tried = stranger_browser.post("/reports/preview/", {"text": f"/compare/?run={run.id}"})
    assert blocks(tried) == [] and "secret" not in tried.text


def test_two_writers_cannot_overwrite_each_other(owner_browser, browser_of, team_mate, make_report):
    report = make_report("start")
    browser_of(team_mate).post(f"/reports/{report.id}/change/", {"title": "T", "text": "mate's", "seen": "1"})
    answer = owner_browser.post(f"/reports/{report.id}/change/", {"title": "T", "text": "mine", "seen": "1"})
    assert answer.status_code == 422
    assert (
        "tom changed this report while you were editing" in answer.text and ">mine</textarea>" in answer.text
    )
    report.refresh_from_db()
    assert report.text == "mate's"


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"title": " "}, "1 to 200 characters"), ({"text": "x" * 100_001}, "limit is 100000")],
)
def test_a_refused_text_stays_in_its_field(owner_browser, team, fields, message):
    answer = owner_browser.post("/reports/write/", {"title": "T", "text": "kept text"} | fields)
    assert answer.status_code == 422 and message in answer.text
    assert (fields.get("text") or "kept text") in answer.text
    assert not Report.objects.exists()


def test_a_report_is_sanitised(owner_browser, make_report):
    page = owner_browser.get(f"/reports/{make_report('<script>alert(1)</script>').id}/").text
    assert "<script>alert" not in page


def test_viewers_can_read_and_not_write(viewer_browser, make_report):
    report = make_report("for all")
    assert "for all" in viewer_browser.get(f"/reports/{report.id}/").text
    fields = {"title": "x", "text": "x", "seen": "1"}
    for path in ("write/", f"{report.id}/change/", f"{report.id}/delete/"):
        assert viewer_browser.post(f"/reports/{path}", fields).status_code == 404
    report.refresh_from_db()
    assert report.text == "for all"


def test_only_the_owner_or_a_lead_may_delete_a_report(owner_browser, browser_of, team_mate, make_report):
    report = make_report("mine")
    assert (
        "Only olga or a lead" in browser_of(team_mate).post(f"/reports/{report.id}/delete/", follow=True).text
    )
    owner_browser.post(f"/reports/{report.id}/delete/")
    assert not Report.objects.exists()


def test_more_reports_and_runs_take_the_same_number_of_queries(owner_browser, make_run, make_report):
    def queries(path):
        with CaptureQueriesContext(connection) as seen:
            owner_browser.get(path)
        return len(seen)

    few = make_report(f"/compare/?run={make_run().id}")
    listed, drawn = queries("/reports/"), queries(f"/reports/{few.id}/")
    many = make_report("/compare/?" + "&".join(f"run={make_run(str(n)).id}" for n in range(8)))
    assert queries("/reports/") == listed
    assert queries(f"/reports/{many.id}/") == drawn
