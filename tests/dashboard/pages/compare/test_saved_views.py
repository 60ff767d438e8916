"""Saved views of a page, shared with the team under a short address."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from jobs.models import SavedView
from jobs.people import sharing

QUERY = "filter=loss+%3C+2&sort=-loss&columns=model.layers&columns=loss"


def save(browser, name="Best", page="runs", query=QUERY, **fields):
    return browser.post("/v/save/", {"name": name, "page": page, "query": query, **fields})


@pytest.fixture
def job(make_job):
    return make_job()


@pytest.fixture
def view(owner, job):
    return sharing.save_view(team=job.team, owner=owner, page="runs", name="Best", query=QUERY)


def test_the_address_shows_the_saved_state(owner_browser, job):
    save(owner_browser)
    view = SavedView.objects.get()
    answer = owner_browser.get(f"/v/{view.id}/")
    assert urlsplit(answer.url).path == "/runs/"
    assert parse_qs(urlsplit(answer.url).query) == parse_qs(QUERY) | {"view": [view.id]}


def test_the_menu_of_the_page_names_it_for_the_whole_team(viewer_browser, view):
    page = viewer_browser.get(f"/runs/?view={view.id}").text
    assert f"/v/{view.id}/" in page and "Best" in page
    assert "/v/save/" not in page


def test_views_of_one_page_are_not_offered_on_another(owner_browser, view):
    assert f"/v/{view.id}/" not in owner_browser.get("/compare/").text


def test_a_name_is_unique_per_team_and_page(owner_browser, view):
    answer = save(owner_browser, query="q=other", follow=True)
    assert SavedView.objects.get().query == view.query
    assert answer.url == "/runs/?q=other"
    save(owner_browser, page="compare")
    assert SavedView.objects.count() == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "  "}, "1 to 100 characters"),
        ({"name": "x" * 101}, "1 to 100 characters"),
        ({"page": "https://example.com"}, "cannot be saved"),
        ({"query": "run=" + "x" * 9000}, "Choose fewer runs"),
    ],
)
def test_an_invalid_view_is_refused_with_the_reason(owner_browser, job, fields, message):
    answer = owner_browser.post("/v/save/", {"name": "n", "page": "runs", "query": ""} | fields, follow=True)
    assert message in answer.text
    assert not SavedView.objects.exists()


def test_the_owner_changes_what_it_shows(owner_browser, view):
    owner_browser.post(f"/v/{view.id}/change/", {"query": "?q=new&view=x&page=3"})
    view.refresh_from_db()
    assert view.query == "q=new"


def test_a_team_mate_uses_a_view_but_neither_changes_nor_deletes_it(browser_of, team_mate, view):
    mates = browser_of(team_mate)
    assert mates.get(f"/v/{view.id}/").status_code == 302
    assert "Only olga or a lead" in mates.post(f"/v/{view.id}/delete/", follow=True).text
    mates.post(f"/v/{view.id}/change/", {"query": ""})
    view.refresh_from_db()
    assert view.query == QUERY


def test_the_owner_deletes_it_and_stays_on_its_page(owner_browser, view):
    assert owner_browser.post(f"/v/{view.id}/delete/").url == f"/runs/?{view.query}"
    assert not SavedView.objects.exists()


def test_a_stranger_finds_no_view_and_a_viewer_writes_none(stranger_browser, viewer_browser, view):
    assert stranger_browser.get(f"/v/{view.id}/").status_code == 404
    assert "Best" not in stranger_browser.get("/runs/").text
    for browser in (stranger_browser, viewer_browser):
        for path in (f"/v/{view.id}/change/", f"/v/{view.id}/delete/"):
            assert browser.post(path, {"query": ""}).status_code == 404
    assert save(viewer_browser, name="mine").status_code == 404
    assert SavedView.objects.count() == 1


def test_many_views_take_as_many_queries_as_few(owner_browser, owner, view, job):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries():
        with CaptureQueriesContext(connection) as seen:
            owner_browser.get("/runs/")
        return len(seen)

    few = queries()
    for number in range(10):
        sharing.save_view(team=job.team, owner=owner, page="runs", name=f"view {number}", query="")
    assert queries() == few
