"""Join tokens of a pool: made and shown once, listed, revoked; for admins only."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from jobs.models import NodeToken

PAGE = "/pools/default/tokens/"


def test_a_token_is_shown_once_and_later_only_its_prefix(admin_client, node):
    made = admin_client.post(PAGE, {"hours": "2"})
    found = re.search(r"fwn_[\w-]{20,}", made.text)
    assert found
    assert "no-store" in made["Cache-Control"]
    later = admin_client.get(PAGE).text
    assert found[0] not in later
    assert found[0][:8] in later
    left = NodeToken.objects.get().expires_at - timezone.now()
    assert 7100 < left.total_seconds() <= 7200


@pytest.mark.parametrize("hours", ["", "soon", "0", "-1", "99999", "nan"])
def test_an_invalid_lifetime_is_refused_at_its_field(admin_client, node, hours):
    answer = admin_client.post(PAGE, {"hours": hours})
    assert answer.status_code == 422
    assert f"&#x27;{hours}&#x27; is not between" in answer.text
    assert f'value="{hours}"' in answer.text
    assert not NodeToken.objects.exists()


def test_an_open_token_is_revoked_once(admin_client, node):
    admin_client.post(PAGE, {"hours": "2"})
    revoke = f"{PAGE}{NodeToken.objects.get().id}/revoke/"
    assert revoke in admin_client.get(PAGE).text
    assert "is revoked" in admin_client.post(revoke, follow=True).text
    assert NodeToken.objects.get().revoked_by == "admin"
    page = admin_client.get(PAGE).text
    assert revoke not in page
    assert "revoked" in page


@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
def test_only_admins_see_join_tokens(request, browser_of, node, who):
    browser = browser_of(request.getfixturevalue(who))
    assert browser.get(PAGE).status_code == 404
    assert browser.post(PAGE, {"hours": "2"}).status_code == 404
    assert browser.post(f"{PAGE}1/revoke/").status_code == 404
    assert "Join tokens" not in browser.get("/pools/").text
    assert not NodeToken.objects.exists()


def test_tokens_of_an_unknown_pool_are_not_found(admin_client):
    assert admin_client.get("/pools/nothere/tokens/").status_code == 404
