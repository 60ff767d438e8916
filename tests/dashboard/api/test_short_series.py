"""Charts by the short way say what Django's way says, share their answer while it is true, and keep out strangers."""

from __future__ import annotations

import asyncio

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from dashboard.api import series as drawing
from dashboard.api import short_series, short_way
from jobs import people, series, tracking
from jobs.models import Membership, Stream, Team
from jobs.series import Point

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def team():
    return Team.objects.create(name="blue", slug="blue")


@pytest.fixture
def owner(team):
    user = User.objects.create_user("owner")
    Membership.objects.create(user=user, team=team)
    return user


@pytest.fixture
def run(team, owner):
    short_series._doors.clear()
    short_series._kept.clear()
    made = tracking.create(team=team, owner=owner, name="mine", origin="api")
    log(made, 0)
    yield made
    for _ in range(8):  # each of the two threads closes its own
        short_series._threads.submit(lambda: short_series.connection.close()).result()


def log(run, seq, metric="loss"):
    series.append(run.id, 1, "w", seq, [Point(metric, "run", seq, 1e9 + seq, float(seq))])


@pytest.fixture
def browser(owner):
    browser = Client()
    browser.force_login(owner)
    return browser


def cookie_of(browser):
    name = short_series.settings.SESSION_COOKIE_NAME
    return {"cookie": f"other=1; {name}={browser.cookies[name].value}"}


@pytest.fixture
def drawings(monkeypatch):
    """How often something was drawn."""
    made = []
    plain = drawing.drawn

    def counted(*arguments) -> HttpResponse:
        made.append(1)
        return plain(*arguments)

    monkeypatch.setattr(drawing, "drawn", counted)
    return made


async def django(scope, receive, send):
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def get(path, headers, method="GET"):
    """Status, headers and body; 299 where Django was asked."""
    path, _, query = path.partition("?")
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(short_way.beside(django)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize("more", ["", "&format=packed", "&x=relative&points=5", "&lo=0&hi=3&source=run"])
def test_the_same_answer_as_by_django(run, browser, more):
    log(run, 1)
    for path in (
        f"/api/v1/runs/{run.id}/series?metric=loss{more}",
        f"/api/v1/series?metric=loss&run={run.id}{more}",
    ):
        plain = browser.get(path)
        status, headers, body = get(path, cookie_of(browser))
        assert (status, body) == (plain.status_code, plain.content) == (200, plain.content)
        assert headers[b"content-type"].decode() == plain["Content-Type"]
        assert headers[b"cache-control"] == b"no-store" and int(headers[b"content-length"]) == len(body)


def test_pages_share_an_answer_until_the_run_has_grown(run, browser, team, owner, drawings):
    path = f"/api/v1/runs/{run.id}/series?metric=loss"
    token = {"authorization": f"Bearer {people.make_api_token(owner, team, 'script')}"}
    first = get(path, cookie_of(browser))
    assert get(path, cookie_of(browser)) == get(path, token) == first and len(drawings) == 1
    log(run, 1)
    grown = get(path, cookie_of(browser))
    assert grown != first and len(drawings) == 2
    series.fold(Stream.objects.get().id)
    assert get(path, token)[2] == grown[2]


def test_a_batch_that_fills_a_hole_is_seen_at_once(run, browser):
    path = f"/api/v1/runs/{run.id}/series?metric=loss"
    log(run, 2)
    before = get(path, cookie_of(browser))[2]
    log(run, 1)
    assert get(path, cookie_of(browser))[2] == browser.get(path).content != before


def test_a_reading_that_cannot_be_had_is_told_at_once(run, browser):
    path = f"/api/v1/runs/{run.id}/series?metric=power_w"
    get(path, cookie_of(browser))
    tracking.set_missing(run, "device:0", {"power_w": ["denied", "The driver says no."]})
    assert b"The driver says no." in get(path, cookie_of(browser))[2]


def test_a_stranger_is_sent_to_django_even_where_an_answer_is_kept(run, browser):
    path = f"/api/v1/runs/{run.id}/series?metric=loss"
    assert get(path, cookie_of(browser))[0] == 200
    stranger = Client()
    stranger.force_login(User.objects.create_user("stranger"))
    other = people.make_api_token(
        User.objects.get(username="stranger"), Team.objects.create(name="red", slug="red"), "x"
    )
    for headers in (
        cookie_of(stranger),
        {"authorization": f"Bearer {other}"},
        {"authorization": "Bearer no"},
        {},
    ):
        assert get(path, headers)[0] == 299
        assert get(f"/api/v1/series?metric=loss&run={run.id}", headers)[0] == 299


def test_who_has_logged_out_is_forgotten_within_seconds(run, browser, monkeypatch):
    path, cookie = f"/api/v1/runs/{run.id}/series?metric=loss", cookie_of(browser)
    assert get(path, cookie)[0] == 200
    browser.logout()
    monkeypatch.setattr(short_series, "REMEMBERED_S", 0.0)
    short_series._doors.clear()
    assert get(path, cookie)[0] == 299


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
def test_what_is_not_plain_goes_djangos_way(run, browser, path):
    assert get(path.format(run.id), cookie_of(browser))[0] == 299


def test_too_much_goes_djangos_way_which_says_how_much(run, browser, monkeypatch):
    monkeypatch.setattr(drawing, "CELLS_LIMIT", 10)
    path = f"/api/v1/runs/{run.id}/series?metric=loss&points=100"
    assert get(path, cookie_of(browser))[0] == 299
    assert browser.get(path).status_code == 422


def test_other_methods_are_djangos(run, browser):
    assert get(f"/api/v1/runs/{run.id}/series?metric=loss", cookie_of(browser), "HEAD")[0] == 299
