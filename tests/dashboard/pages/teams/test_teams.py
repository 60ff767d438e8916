"""Pages of teams and people: who may do what, invitations, accounts, the audit log."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from jobs.models import AuditEntry, Membership, Team
from jobs.models.people import Role
from jobs.people import audit, members

PASSWORD = "correct horse battery"


@pytest.fixture
def lead(team: Team) -> User:
    user = User.objects.create_user("lea")
    Membership.objects.create(team=team, user=user, role=Role.LEAD)
    return user


def test_a_lead_adds_changes_and_removes_a_member(browser_of, lead, team, stranger):
    browser = browser_of(lead)
    done = browser.post("/teams/research/members/", {"username": "sam", "role": "viewer"}, follow=True)
    assert "sam is now viewer of team Research" in done.text
    row = Membership.objects.get(team=team, user=stranger)
    browser.post(f"/teams/research/members/{row.id}/", {"role": "member"})
    row.refresh_from_db()
    assert row.role == Role.MEMBER
    browser.post(f"/teams/research/members/{row.id}/remove/")
    assert not Membership.objects.filter(team=team, user=stranger).exists()
    codes = AuditEntry.objects.order_by("id").values_list("code", flat=True)
    assert list(codes) == ["member.added", "member.role_changed", "member.removed"]


@pytest.mark.parametrize(
    ("username", "role", "message"),
    [
        ("nobody", "member", "There is no account"),
        ("lea", "member", "already"),
        ("sam", "king", "is no role"),
    ],
)
def test_a_wrong_member_is_refused_at_the_form(browser_of, lead, stranger, username, role, message):
    reply = browser_of(lead).post("/teams/research/members/", {"username": username, "role": role})
    assert reply.status_code == 422
    assert message in reply.text


def test_the_last_lead_stays(browser_of, lead, team):
    row = Membership.objects.get(user=lead)
    browser = browser_of(lead)
    assert "only lead" in browser.post(f"/teams/research/members/{row.id}/remove/", follow=True).text
    assert (
        "only lead"
        in browser.post(f"/teams/research/members/{row.id}/", {"role": "viewer"}, follow=True).text
    )
    assert Membership.objects.get(user=lead).role == Role.LEAD


WRITES = [
    ("/teams/research/", {"name": "x"}),
    ("/teams/research/members/", {"username": "sam", "role": "lead"}),
    ("/teams/research/members/{member}/", {"role": "lead"}),
    ("/teams/research/members/{lead}/remove/", {}),
    ("/teams/research/invitations/", {"role": "lead", "days": "1"}),
    ("/teams/research/invitations/{invitation}/revoke/", {}),
    ("/teams/", {"name": "new"}),
    ("/people/{user}/", {"action": "grant_admin"}),
]


@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
@pytest.mark.parametrize(("path", "values"), WRITES)
def test_only_leads_and_admins_change_people(request, browser_of, lead, team, who, path, values):
    user = request.getfixturevalue(who)
    members.invite(team, Role.MEMBER, 1, audit.SERVER)
    member = Membership.objects.filter(user=user).first()
    address = path.format(
        member=member.id, lead=Membership.objects.get(user=lead).id, user=user.pk,
        invitation=team.invitations.get().id,
    )  # fmt: skip
    before = list(Membership.objects.values()), Team.objects.count(), AuditEntry.objects.count()
    assert browser_of(user).post(address, values).status_code == 404
    assert (list(Membership.objects.values()), Team.objects.count(), AuditEntry.objects.count()) == before
    user.refresh_from_db()
    assert not user.is_staff


@pytest.mark.parametrize("page", ["/people/", "/audit/"])
def test_people_and_audit_are_for_admins(browser_of, owner, lead, admin_client, page):
    assert browser_of(owner).get(page).status_code == 404
    assert browser_of(lead).get(page).status_code == 404
    assert admin_client.get(page).status_code == 200


def test_a_stranger_finds_no_team_and_a_viewer_reads_it(browser_of, stranger, viewer):
    assert browser_of(stranger).get("/teams/research/").status_code == 404
    page = browser_of(viewer).get("/teams/research/").text
    assert "vera" in page
    assert "Add member" not in page


def _invite(browser: Client, role: str = "member") -> str:
    page = browser.post("/teams/research/invitations/", {"role": role, "days": "7"}).text
    return re.search(r"/invitations/[\w-]{40,}/", page)[0]


def test_an_invitation_makes_a_new_account_and_signs_it_in(browser_of, lead, team):
    link, guest = _invite(browser_of(lead)), Client()
    assert "lea invites you as member" in guest.get(link).text
    values = {"username": "nina", "password1": PASSWORD, "password2": PASSWORD}
    weak = guest.post(link, values | {"password1": "short", "password2": "short"})
    assert weak.status_code == 422
    assert not User.objects.filter(username="nina").exists()
    assert guest.post(link, values).status_code == 302
    assert guest.get("/teams/research/").status_code == 200
    assert Membership.objects.get(user__username="nina").role == Role.MEMBER
    assert Client().post(link, values | {"username": "mallory"}).status_code == 404
    assert not User.objects.filter(username="mallory").exists()


def test_a_signed_in_person_joins_and_a_preview_uses_nothing_up(browser_of, lead, stranger, team):
    link, browser = _invite(browser_of(lead), "viewer"), browser_of(stranger)
    for _ in range(3):
        assert browser.get(link).status_code == browser.head(link).status_code == 200
    browser.post(link)
    assert Membership.objects.get(user=stranger, team=team).role == Role.VIEWER


def test_a_taken_name_is_refused_and_the_invitation_stays(browser_of, lead, owner):
    link = _invite(browser_of(lead))
    values = {"username": "olga", "password1": PASSWORD, "password2": PASSWORD}
    assert Client().post(link, values).status_code == 422
    assert Client().get(link).status_code == 200


@pytest.mark.parametrize("token", ["x", "x" * 500, "..%2f", "é"])
def test_a_guessed_invitation_says_so(db, token):
    reply = Client().get(f"/invitations/{token}/")
    assert reply.status_code == 404


def test_an_admin_changes_accounts_but_keeps_one_admin(admin_client, admin_user, owner):
    link = admin_client.post(f"/people/{owner.pk}/", {"action": "login_link"})
    path = re.search(r"/login/[\w-]{40,}/", link.text)[0]
    assert Client().get(path).status_code == 302
    admin_client.post(f"/people/{owner.pk}/", {"action": "deactivate"})
    owner.refresh_from_db()
    assert not owner.is_active
    for action in ("deactivate", "revoke_admin"):
        reply = admin_client.post(f"/people/{admin_user.pk}/", {"action": action}, follow=True)
        assert "your own access" in reply.text
    reply = admin_client.post(f"/people/{owner.pk}/", {"action": "erase"}, follow=True)
    assert "is no action" in reply.text


def test_the_audit_page_filters_and_exports(admin_client):
    audit.record(audit.Source("=cmd()", "10.0.0.1"), "token.created", "ci", {"scope": "read"})
    audit.record(audit.Source("olga"), "member.added", "sam", {"team": "research"})
    assert "Member added" not in admin_client.get("/audit/?code=token.created").text.split("<table", 1)[1]
    export = b"".join(admin_client.get("/audit/?format=csv&code=token.created").streaming_content).decode()
    assert "'=cmd()" in export
    assert len(export.splitlines()) == 2


def test_twice_the_members_take_the_same_number_of_queries(browser_of, lead, team, django_assert_num_queries):
    browser = browser_of(lead)

    def add(start: int) -> None:
        for number in range(start, start + 10):
            Membership.objects.create(team=team, user=User.objects.create_user(f"p{number}"))

    add(0)
    browser.get("/teams/research/")
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as first:
        browser.get("/teams/research/")
    add(10)
    with django_assert_num_queries(len(first)):
        browser.get("/teams/research/")
