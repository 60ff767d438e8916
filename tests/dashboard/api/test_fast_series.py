"""The fast path for series: equal to Django's, cached, closed to strangers."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from dashboard.api import fast_series
from dashboard.api import series as drawing
from jobs import series
from jobs.models import Membership, Stream, Team
from jobs.people import api_tokens
from jobs.series import Point
from jobs.tracking import external_runs
from tests.dashboard.api.asgi_calls import ask

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(team, owner):
    fast_series._allowed.clear()
    fast_series._replies.clear()
    made = external_runs.create(team=team, owner=owner, name="mine", origin="api")
    log(made, 0)
    yield made
    for _ in range(8):  # each of the two threads closes its own
        fast_series._threads.submit(lambda: fast_series.connection.close()).result()


def log(run, seq, metric="loss"):
    series.append(run.id, 1, "w", seq, [Point(metric, "run", seq, 1e9 + seq, float(seq))])


def cookie_of(browser):
    name = settings.SESSION_COOKIE_NAME
    return {"cookie": f"other=1; {name}={browser.cookies[name].value}"}


@pytest.fixture
def drawings(monkeypatch):
    """How often something was drawn."""
    made = []
    plain = drawing.series_reply

    def counted(*arguments) -> HttpResponse:
        made.append(1)
        return plain(*arguments)

    monkeypatch.setattr(drawing, "series_reply", counted)
    return made


@pytest.mark.parametrize("more", ["", "&format=packed", "&x=relative&points=5", "&lo=0&hi=3&source=run"])
def test_the_same_answer_as_by_django(run, owner_browser, more):
    log(run, 1)
    for path in (
        f"/api/v1/runs/{run.id}/series?metric=loss{more}",
        f"/api/v1/series?metric=loss&run={run.id}{more}",
    ):
        plain = owner_browser.get(path)
        status, headers, body = ask(path, cookie_of(owner_browser))
        assert (status, body) == (plain.status_code, plain.content) == (200, plain.content)
        assert headers[b"content-type"].decode() == plain["Content-Type"]
        assert headers[b"cache-control"] == b"no-store" and int(headers[b"content-length"]) == len(body)


def test_pages_share_an_answer_until_the_run_has_grown(run, owner_browser, team, owner, drawings):
    path = f"/api/v1/runs/{run.id}/series?metric=loss"
    token = {"authorization": f"Bearer {api_tokens.create_token(owner, team, 'script')}"}
    first = ask(path, cookie_of(owner_browser))
    assert ask(path, cookie_of(owner_browser)) == ask(path, token) == first and len(drawings) == 1
    log(run, 1)
    grown = ask(path, cookie_of(owner_browser))
    assert grown != first and len(drawings) == 2
    series.fold(Stream.objects.get().id)
    assert ask(path, token)[2] == grown[2]


def test_a_batch_that_fills_a_hole_is_seen_at_once(run, owner_browser):
    path = f"/api/v1/runs/{run.id}/series?metric=loss"
    log(run, 2)
    before = ask(path, cookie_of(owner_browser))[2]
    log(run, 1)
    assert ask(path, cookie_of(owner_browser))[2] == owner_browser.get(path).content != before


def test_a_missing_reading_is_shown_at_once(run, owner_browser):
    path = f"/api/v1/runs/{run.id}/series?metric=power_w"
    ask(path, cookie_of(owner_browser))
    external_runs.set_missing(run, "device:0", {"power_w": ["denied", "The driver refuses."]})
    assert b"The driver refuses." in ask(path, cookie_of(owner_browser))[2]


def test_a_stranger_is_sent_to_django_even_where_an_answer_is_kept(run, owner_browser):
    path = f"/api/v1/runs/{run.id}/series?metric=loss"
    assert ask(path, cookie_of(owner_browser))[0] == 200
    stranger = Client()
    stranger.force_login(User.objects.create_user("stranger"))
    red, user = Team.objects.create(name="red", slug="red"), User.objects.get(username="stranger")
    Membership.objects.create(team=red, user=user)
    other = api_tokens.create_token(user, red, "x")
    for headers in (
        cookie_of(stranger),
        {"authorization": f"Bearer {other}"},
        {"authorization": "Bearer no"},
        {},
    ):
        assert ask(path, headers)[0] == 299
        assert ask(f"/api/v1/series?metric=loss&run={run.id}", headers)[0] == 299


def test_who_has_logged_out_is_forgotten_within_seconds(run, owner_browser, monkeypatch):
    path, cookie = f"/api/v1/runs/{run.id}/series?metric=loss", cookie_of(owner_browser)
    assert ask(path, cookie)[0] == 200
    owner_browser.logout()
    monkeypatch.setattr(fast_series, "ACCESS_CACHED_S", 0.0)
    fast_series._allowed.clear()
    assert ask(path, cookie)[0] == 299


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/runs/{}/series",
        "/api/v1/runs/{}/series?metric=loss&points=0",
        "/api/v1/series?metric=loss&run={}&run=gone",
        "/api/v1/series?metric=loss",
        "/api/v1/runs/gone/series?metric=loss",
        "/api/v1/runs/{}/points?metric=loss",
    ],
)
def test_what_is_not_plain_goes_djangos_way(run, owner_browser, path):
    assert ask(path.format(run.id), cookie_of(owner_browser))[0] == 299


def test_a_request_for_too_much_goes_to_django_for_the_reason(run, owner_browser, monkeypatch):
    monkeypatch.setattr(drawing, "SERIES_CELLS", 10)
    path = f"/api/v1/runs/{run.id}/series?metric=loss&points=100"
    assert ask(path, cookie_of(owner_browser))[0] == 299
    assert owner_browser.get(path).status_code == 422


def test_other_methods_are_djangos(run, owner_browser):
    assert ask(f"/api/v1/runs/{run.id}/series?metric=loss", cookie_of(owner_browser), "HEAD")[0] == 299
