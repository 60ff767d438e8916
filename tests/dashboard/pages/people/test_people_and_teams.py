"""Django admin of people and teams."""

from __future__ import annotations

import pytest

from jobs.models import Membership, Team

PAGES = ["/admin/", "/admin/jobs/team/", "/admin/jobs/team/add/", "/admin/auth/user/"]


@pytest.mark.parametrize("address", PAGES)
def test_an_admin_opens_people_and_teams(admin_client, address):
    answer = admin_client.get(address)
    assert answer.status_code == 200
    assert "css/admin.css" in answer.text


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
def test_other_users_have_no_access(request, browser_of, who, address):
    browser = browser_of(request.getfixturevalue(who))
    assert browser.get(address).status_code == 302
    assert "/admin/" not in browser.get("/jobs/").text


def test_a_team_is_made_with_its_members(admin_client, owner):
    rows = {"memberships-0-user": owner.id, "memberships-0-role": "lead"}
    counts = {"memberships-TOTAL_FORMS": 1, "memberships-INITIAL_FORMS": 0}
    answer = admin_client.post(
        "/admin/jobs/team/add/", {"name": "Vision", "slug": "vision", **counts, **rows}
    )
    assert answer.status_code == 302
    assert Membership.objects.get(team=Team.objects.get(slug="vision")).role == "lead"
