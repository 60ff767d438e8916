"""Account page: profile, password, sessions, tokens."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from jobs.models import ApiToken, AuditEntry, UserSession
from jobs.people import accounts, api_tokens, audit
from jobs.people.sessions import describe_browser

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
PASSWORD = "correct horse battery"


def sign_in(user, agent: str = FIREFOX) -> Client:
    browser = Client(headers={"User-Agent": agent})
    browser.get(f"/login/{accounts.make_login_link(user)}/")
    return browser


def test_one_click_creates_a_token_that_is_shown_once(browser_of, owner, team):
    browser = browser_of(owner)
    made = browser.post("/account/tokens/")
    token = re.search(r"fw_[\w-]{40,}", made.text)[0]
    assert "no-store" in made["Cache-Control"]
    found = api_tokens.find(token)
    assert (found.user, found.team, found.scope) == (owner, team, "submit")
    later = browser.get("/account/tokens/").text
    assert token not in later
    assert token[:8] in later


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": ""}, "1 to 100 characters"),
        ({"name": "x" * 101}, "1 to 100 characters"),
        ({"scope": "root"}, "is no scope"),
        ({"team": "others"}, "You are in no team"),
        ({"days": "0"}, "is not between 1 and"),
        ({"days": "-3"}, "is not between 1 and"),
        ({"days": "1e9"}, "is not between 1 and"),
        ({"days": "٣"}, "is not between 1 and"),
    ],
)
def test_a_wrong_field_is_refused_with_its_sentence(browser_of, owner, team, other_team, values, message):
    reply = browser_of(owner).post("/account/tokens/", {"name": "ci", "scope": "read", "days": "5"} | values)
    assert reply.status_code == 422
    assert message in reply.text
    assert not ApiToken.objects.exists()


def test_a_person_revokes_own_tokens_only(browser_of, owner, team_mate, team):
    mine, other = (
        api_tokens.create_token(owner, team, "mine"),
        api_tokens.create_token(team_mate, team, "other"),
    )
    browser = browser_of(owner)
    rows = {row.name: row.id for row in ApiToken.objects.all()}
    browser.post(f"/account/tokens/{rows['mine']}/revoke/")
    browser.post(f"/account/tokens/{rows['other']}/revoke/")
    assert api_tokens.find(mine) is None
    assert api_tokens.find(other) is not None


def test_a_person_without_a_team_is_told_why_there_is_no_token(browser_of, owner, team):
    owner.memberships.all().delete()
    browser = browser_of(owner)
    assert "Ask a lead" in browser.get("/account/tokens/").text
    assert browser.post("/account/tokens/").status_code == 422
    assert "You are in no team yet" in browser.get("/account/").text


def test_sessions_name_their_browser_and_the_others_end(owner):
    first, second = sign_in(owner), sign_in(owner, "curl/8.0")
    page = first.get("/account/").text
    assert "Firefox on Linux" in page
    assert "curl/8.0" in page
    assert "1 other session signed out" in first.post("/account/sessions/end/", follow=True).text
    assert second.get("/jobs/").status_code == 302
    assert first.get("/jobs/").status_code == 200
    assert UserSession.objects.filter(user_id=owner.pk).count() == 1
    assert AuditEntry.objects.filter(code="person.sessions_ended").get().values == {"sessions": 1}


def test_the_first_password_needs_no_old_one_and_a_change_ends_other_sessions(owner):
    owner.set_unusable_password()
    owner.save()
    first, second = sign_in(owner), sign_in(owner)
    values = {"new_password1": PASSWORD, "new_password2": PASSWORD}
    assert "Your password is changed" in first.post("/account/password/", values, follow=True).text
    assert second.get("/jobs/").status_code == 302
    refused = first.post("/account/password/", {**values, "old_password": "wrong"})
    assert refused.status_code == 422
    assert "incorrectly" in refused.text
    assert first.post("/account/password/", {**values, "old_password": PASSWORD}).status_code == 302
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize("weak", ["short", "password123456"])
def test_a_weak_password_is_refused(owner, weak):
    owner.set_unusable_password()
    owner.save()
    reply = sign_in(owner).post("/account/password/", {"new_password1": weak, "new_password2": weak})
    assert reply.status_code == 422


@pytest.mark.parametrize(
    ("field", "text"), [("email", "no address"), ("first_name", "x" * 151), ("last_name", "x" * 151)]
)
def test_a_wrong_profile_is_refused_at_its_field(browser_of, owner, field, text):
    reply = browser_of(owner).post("/account/profile/", {field: text})
    assert reply.status_code == 422
    assert f'id="problem-{field}"' in reply.text
    owner.refresh_from_db()
    assert getattr(owner, field) == ""


def test_a_profile_is_saved_once(browser_of, owner):
    values = {"first_name": "Olga", "last_name": "Ø", "email": "olga@example.org"}
    browser = browser_of(owner)
    assert "Saved." in browser.post("/account/profile/", values, follow=True).text
    assert "Nothing was changed." in browser.post("/account/profile/", values, follow=True).text
    assert AuditEntry.objects.filter(code="person.profile_changed").count() == 1


@pytest.mark.parametrize(
    ("agent", "title"),
    [
        (FIREFOX, "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/131.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.1 Safari/605.1.15", "Safari on macOS"),
        ("", ""),
        ("curl/8", "curl/8"),
    ],
)  # fmt: skip
def test_a_browser_is_named(agent, title):
    assert describe_browser(agent) == title


def test_a_failed_and_a_successful_sign_in_are_on_record(owner):
    owner.set_password(PASSWORD)
    owner.save()
    browser = Client()
    browser.post("/login/", {"username": "olga", "password": "wrong"})
    browser.post("/login/", {"username": "olga", "password": PASSWORD})
    codes = list(AuditEntry.objects.order_by("id").values_list("actor", "code"))
    assert codes == [("olga", "login.failed"), ("olga", "login.succeeded")]
    assert audit.verify().broken is None
