"""Login links and API tokens: stored as hashes, invalid once used, expired or revoked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from jobs.models import ApiToken, LoginLink, Membership, Team
from jobs.models.people import Role
from jobs.people import accounts, api_tokens

pytestmark = pytest.mark.django_db


def test_the_first_user_leads_the_first_team_and_has_no_password():
    user = accounts.ensure_first_team_and_user()
    assert (user.username, user.is_superuser, user.has_usable_password()) == ("admin", True, False)
    assert Membership.objects.get().role == Role.LEAD
    assert accounts.first_writable_team(user).slug == "default"


def test_it_is_created_once_and_a_later_password_stays():
    user = accounts.ensure_first_team_and_user()
    user.set_password("correct horse battery")
    user.save()
    assert accounts.ensure_first_team_and_user().check_password("correct horse battery")
    assert User.objects.count() == Team.objects.count() == Membership.objects.count() == 1


def test_a_login_link_works_once(owner):
    token = accounts.make_login_link(owner)
    assert accounts.redeem_login_link(token) == owner
    assert accounts.redeem_login_link(token) is None


def test_a_login_link_expires_after_fifteen_minutes(owner):
    token = accounts.make_login_link(owner)
    left = LoginLink.objects.get().expires_at - timezone.now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    LoginLink.objects.update(expires_at=timezone.now())
    assert accounts.redeem_login_link(token) is None


def test_an_inactive_account_cannot_redeem_a_link(owner):
    token = accounts.make_login_link(owner)
    User.objects.update(is_active=False)
    assert accounts.redeem_login_link(token) is None


@pytest.mark.parametrize("token", ["", "guess", "\ud800", "x" * 10_000])
def test_a_guessed_link_is_refused(owner, token):
    accounts.make_login_link(owner)
    assert accounts.redeem_login_link(token) is None


def test_a_token_identifies_its_owner_and_team(owner, team):
    raw = api_tokens.create_token(owner, team, "ci")
    found = api_tokens.find(raw)
    assert (found.user, found.team) == (owner, team)
    assert ApiToken.objects.get().last_used_at is not None


def test_the_database_holds_no_secret(owner, team):
    raw, link = api_tokens.create_token(owner, team, "ci"), accounts.make_login_link(owner)
    stored = str(ApiToken.objects.values().get()) + str(LoginLink.objects.values().get())
    assert raw not in stored and link not in stored
    assert ApiToken.objects.get().prefix == raw[:8]


def test_an_expired_token_is_refused(owner, team):
    raw = api_tokens.create_token(owner, team, "ci", expires_at=timezone.now() - timedelta(seconds=1))
    assert api_tokens.find(raw) is None


def test_a_token_ends_with_the_membership_and_with_the_account(owner, team):
    raw = api_tokens.create_token(owner, team, "ci")
    User.objects.update(is_active=False)
    assert api_tokens.find(raw) is None
    User.objects.update(is_active=True)
    Membership.objects.all().delete()
    assert api_tokens.find(raw) is None


def test_a_busy_script_costs_one_write_per_minute(owner, team, django_assert_num_queries):
    raw = api_tokens.create_token(owner, team, "ci")
    api_tokens.find(raw)
    with django_assert_num_queries(2):
        api_tokens.find(raw)


def test_a_viewer_has_no_team_to_submit_for(viewer):
    assert accounts.first_writable_team(viewer) is None
