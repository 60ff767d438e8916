"""Cast and helpers of the tests of imports."""

from __future__ import annotations

from collections import Counter

import pytest
from django.core.management import CommandError, call_command

from jobs import series
from jobs.people import accounts
from jobs.series.codec import NO_STEP


@pytest.fixture
def attempt_import(db, capsys):
    """Runs the command; returns its lines and, if it failed, its error."""
    accounts.ensure_first_team_and_user()

    def run_import(tracker, path):
        error = ""
        try:
            call_command("import", tracker, str(path))
        except CommandError as refused:
            error = str(refused)
        return capsys.readouterr().out.splitlines(), error

    return run_import


@pytest.fixture
def stored_points():
    """The points of a run: metric -> multiset of (step, microseconds, value as text)."""

    def read(run):
        found = {}
        for one in series.raw(run.id):
            for step, at, value in zip(*(column.tolist() for column in one.columns), strict=True):
                key = (None if step == NO_STEP else step, at, repr(value))
                found.setdefault(one.metric, Counter())[key] += 1
        return found

    return read
