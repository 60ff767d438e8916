"""Accounting over HTTP: a caller's own teams, and nothing made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from jobs.lifecycle.transitions import move_attempt
from jobs.models import Attempt, Membership, Team
from jobs.states.jobs import AttemptState

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture
def spent(job):
    attempt = Attempt.objects.create(job=job, number=1, node_id="node-1", state=AttemptState.RUNNING)
    Attempt.objects.update(assigned_at=NOON)
    move_attempt(attempt.id, AttemptState.FAILED, actor="test", ended_at=NOON + timedelta(hours=1))


def lines(client: Client, query: str = "") -> list[dict]:
    return client.get(f"/api/v1/accounting{query}").json()["lines"]


def test_a_line_shows_held_time_and_that_nothing_was_measured(spent, client_of):
    (line,) = lines(client_of("mate"))
    assert line["keys"] == {"month": "2026-11", "pool": "default", "team": "blue"}
    assert (line["device_s"], line["wasted_device_s"], line["attempts"]) == (7200.0, 7200.0, 1)
    assert (line["energy_j"], line["energy_measured_share"], line["money"]) == (None, 0.0, {})
    assert lines(client_of("mate"), "?month=2001-01") == []


def test_a_stranger_gets_nothing_and_an_admin_all_but_not_by_a_teams_token(spent, client_of, token_of, cast):
    assert lines(client_of("stranger")) == []
    admin = User.objects.create_user("ann", is_staff=True)
    browser = Client()
    browser.force_login(admin)
    assert len(lines(browser)) == 1
    Membership.objects.create(user=admin, team=Team.objects.get(slug="red"))
    cast["ann"] = admin
    assert lines(token_of("ann")) == []


@pytest.mark.parametrize("query", ["?by=owner", "?month=november", "?by="])
def test_what_it_does_not_understand_is_refused(client_of, query):
    assert client_of("mate").get(f"/api/v1/accounting{query}").status_code == 422
