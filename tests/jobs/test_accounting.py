"""What attempts have cost, added up; energy only where it was measured."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs import accounting, queue, scheduler, series
from jobs.models import Attempt, Charge, Job
from jobs.series import Point
from jobs.states import AttemptState, move_attempt

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def run_for(job: Job, how_long: timedelta, to: str = AttemptState.FAILED) -> Attempt:
    """The job on its devices for so long."""
    scheduler.schedule(job.pool)
    attempt = job.attempts.get()
    Attempt.objects.filter(id=attempt.id).update(
        assigned_at=timezone.now() - how_long, state=AttemptState.RUNNING
    )
    assert move_attempt(attempt.id, to, actor="test")
    return attempt


def measure(attempt: Attempt, **joules: float) -> None:
    """The last readings of the devices' counters; underscores stand for hyphens."""
    points = [
        Point("energy_j", f"device:{device.replace('_', '-')}", None, 1000.0 + at, value * share)
        for at, share in enumerate((0.0, 1.0))
        for device, value in joules.items()
    ]
    series.append(attempt.job.run.id, attempt.number, "device.jsonl", 0, points)
    series.close(attempt.job.run.id, attempt.number)


def told(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("accounting", *arguments, stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def both_teams(make_job, make_spec, other_team, stranger) -> tuple[Attempt, Attempt]:
    mine = run_for(make_job(devices=2), HOUR, AttemptState.SUCCEEDED)
    spec = make_spec(devices=1)
    theirs = run_for(queue.submit(spec=spec, team=other_team, owner=stranger), HOUR)
    Charge.objects.update(month="2026-11")  # whatever day it is
    return mine, theirs


def by_team(**fields: object) -> dict[str, accounting.Line]:
    return {line.keys["team"]: line for line in accounting.lines(("team",), **fields)}


def test_device_seconds_and_waste_are_added_up_by_team(both_teams):
    found = by_team()
    assert round(found["Research"].device_s) == 2 * 3600 and found["Research"].wasted_device_s == 0
    assert round(found["Others"].device_s) == round(found["Others"].wasted_device_s) == 3600
    assert by_team(month="2001-01") == {}


def test_each_attempt_has_a_line_of_its_own(both_teams):
    lines = accounting.lines(("attempt",))
    assert {line.keys["attempt"] for line in lines} == {f"{a.job_id}/1" for a in both_teams}


def test_energy_that_was_not_measured_is_no_number(both_teams):
    assert {line.energy_j for line in by_team().values()} == {None}
    assert by_team()["Others"].to_json()["energy_j"] == "not measured"


def test_energy_is_measured_only_when_every_device_was(both_teams):
    mine, theirs = both_teams
    measure(theirs, a_0=500.0)
    measure(mine, a_0=1000.0)
    found = by_team()
    assert (found["Others"].energy_j, found["Others"].attempts_measured) == (500.0, 1)
    assert found["Research"].energy_j is None


def test_an_attempt_over_two_months_is_counted_once_in_all(both_teams):
    mine, _ = both_teams
    Charge.objects.create(
        attempt=mine, team=mine.job.team, pool=mine.job.pool, month="2026-12", device_s=10, wasted_device_s=0
    )
    measure(mine, a_0=1000.0, a_1=2000.0)
    assert (by_team()["Research"].attempts, by_team()["Research"].energy_j) == (1, 3000.0)
    monthly = {line.keys["month"]: line for line in accounting.lines(("month",))}
    assert (monthly["2026-11"].energy_j, monthly["2026-12"].energy_j) == (None, 3000.0)


def test_the_command_writes_json_csv_and_sentences(both_teams):
    rows = [json.loads(line) for line in told("--json")]
    assert {(row["month"], row["team"], row["attempts"]) for row in rows} == {
        ("2026-11", "Research", 1), ("2026-11", "Others", 1)
    }  # fmt: skip
    table = list(csv.DictReader(told("--csv", "--by", "team")))
    assert [row["energy_j"] for row in table] == ["not measured"] * 2
    assert "1.00 device-hours, 1.00 of them wasted; energy not measured" in told("--by", "team")[0]


def test_an_unknown_column_is_refused(db):
    with pytest.raises(CommandError, match="'owner' is none of"):
        told("--by", "owner")
