"""A run to write series for."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from jobs.models import Run, Team


@pytest.fixture
def make_run(db):
    def make(name: str = "run") -> Run:
        team, _ = Team.objects.get_or_create(name="blue", slug="blue")
        owner, _ = User.objects.get_or_create(username="owner")
        return Run.objects.create(team=team, owner=owner, name=name)

    return make


@pytest.fixture
def run(make_run):
    return make_run()
