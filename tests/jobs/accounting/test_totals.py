"""Sums of charges, with energy only if it was measured and money only if there was a price."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from jobs import series
from jobs.accounting import totals
from jobs.models import Attempt, Charge, Pool, Share
from jobs.pools import pool_settings
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState
from tests.jobs.device_usage import add_energy, end_attempt, hold_devices

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


def run_command(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("accounting", *arguments, stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def theirs(make_spec, make_node, other_team, stranger):
    make_node("b", devices=1)
    return job_actions.submit(spec=make_spec(devices=1), team=other_team, owner=stranger)


@pytest.fixture
def both_teams(make_job, theirs) -> tuple[Attempt, Attempt]:
    """Two devices for an hour in an attempt that succeeds, and one for an hour in an attempt that fails."""
    mine = end_attempt(hold_devices(make_job(devices=2), NOON), AttemptState.SUCCEEDED, NOON + HOUR)
    return mine, end_attempt(hold_devices(theirs, NOON), at=NOON + HOUR)


def by(*names: str, **chosen: object) -> dict[str, totals.UsageRow]:
    found = totals.usage_rows(totals.charges(**chosen), names)
    return {"/".join(line.keys.values()): line for line in found}


def test_device_seconds_and_waste_are_added_up_by_team(both_teams):
    found = by("team")
    assert (found["Research"].device_s, found["Research"].wasted_device_s) == (2 * 3600, 0)
    assert (found["Others"].device_s, found["Others"].wasted_share) == (3600, 1.0)
    assert by("team", month="2001-01") == {} == by("team", pool="nowhere")


def test_rows_can_be_grouped_by_attempt_person_and_day(both_teams):
    assert set(by("attempt")) == {f"{a.job_id}/1" for a in both_teams}
    assert set(by("person")) == {"olga", "sam"}
    assert set(by("day", "team")) == {"2026-11-10/Others", "2026-11-10/Research"}


def test_energy_that_was_not_measured_is_none(both_teams):
    line = by("team")["Others"]
    assert (line.energy_j, line.energy_share) == (None, 0.0)
    assert line.to_json()["energy_j"] == "not measured"


def test_energy_shows_how_much_of_the_device_time_it_covers(make_job, node):
    attempt = hold_devices(make_job(devices=2), NOON)
    add_energy(attempt, (timedelta(minutes=1), 100.0), (timedelta(minutes=30), 9000.0), devices=("a-0",))
    end_attempt(attempt, at=NOON + HOUR)
    line = by("team")["Research"]
    assert (line.energy_j, line.energy_share) == (9000.0, 0.25)  # half of the time of one of two devices


def test_energy_in_folded_and_sealed_series_is_found(make_job, node):
    attempt = hold_devices(make_job(devices=2), NOON)
    add_energy(attempt, *[(timedelta(seconds=s), float(s)) for s in range(1, 3600)], devices=("a-0", "a-1"))
    series.close(attempt.job.run.id, attempt.number)
    end_attempt(attempt, at=NOON + HOUR)
    line = by("team")["Research"]
    assert (line.energy_j, round(line.energy_share, 2)) == (2 * 3599.0, 1.0)


def test_an_attempt_across_days_and_months_is_split_and_counted_once(make_job, node):
    began = datetime(2026, 11, 29, 18, tzinfo=UTC)
    attempt = hold_devices(make_job(devices=2), began)
    add_energy(attempt, *[(h * HOUR, 100.0 * h) for h in range(1, 37)], devices=("a-0", "a-1"))
    end_attempt(attempt, at=began + 36 * HOUR)
    days = by("day")
    assert [line.device_s / 7200 for line in days.values()] == [6, 24, 6]
    assert [line.energy_j for line in days.values()] == [1200.0, 4800.0, 1200.0]
    assert [line.energy_share for line in days.values()] == [1.0, 1.0, 1.0]
    monthly = by("month")
    assert (monthly["2026-11"].energy_j, monthly["2026-12"].device_s) == (6000.0, 6 * 7200)
    assert by("team")["Research"].attempts == 1


def test_money_uses_the_prices_at_the_end_of_the_attempt(make_job, pool, node):
    pool_settings.change(pool, "ann", {"price_per_device_hour": "2", "tariff_per_kwh": "0.5"})
    attempt = hold_devices(make_job(devices=2), NOON)
    add_energy(attempt, (HOUR, 3.6e6), devices=("a-0", "a-1"))
    end_attempt(attempt, at=NOON + HOUR)
    assert by("team")["Research"].money == {"EUR": 2 * 2 + 2 * 0.5}
    pool_settings.change(pool, "ann", {"price_per_device_hour": "99"})
    assert by("team")["Research"].money == {"EUR": 5.0}
    assert Charge.objects.get().price_per_device_hour == 2
    assert Share.objects.get().month_money == 5.0


def test_time_without_a_price_is_unpriced_and_costs_no_money(both_teams, make_job, pool):
    pool_settings.change(pool, "ann", {"price_per_device_hour": "0"})
    end_attempt(hold_devices(make_job(devices=1), NOON), at=NOON + HOUR)
    line = by("team")["Research"]
    assert (line.money, line.unpriced_device_s) == ({"EUR": 0.0}, 2 * 3600)
    assert by("team")["Others"].money == {}


def test_currencies_are_never_added_up(make_job, make_node, pool):
    make_node("b", pool="overseas")
    pool_settings.change(pool, "ann", {"price_per_device_hour": "1"})
    pool_settings.change(
        Pool.objects.get(name="overseas"), "ann", {"price_per_device_hour": "3", "currency": "USD"}
    )
    for where in ("default", "overseas"):
        end_attempt(hold_devices(make_job(devices=1, pool=where), NOON), at=NOON + HOUR)
    assert by("team")["Research"].money == {"EUR": 1.0, "USD": 3.0}
    assert by("team")["Research"].attempts == 2
    table = list(csv.DictReader(run_command("--csv", "--by", "pool")))
    assert [(row["pool"], row["EUR"], row["USD"]) for row in table] == [
        ("default", "1.00", ""), ("overseas", "", "3.00")
    ]  # fmt: skip


def test_the_total_counts_each_attempt_once(make_job, node):
    began = datetime(2026, 11, 29, 18, tzinfo=UTC)
    end_attempt(hold_devices(make_job(devices=1), began), at=began + 12 * HOUR)
    chosen = totals.charges()
    assert len(totals.usage_rows(chosen, ("day",))) == 2
    whole = totals.total(chosen)
    assert (whole.attempts, whole.device_s) == (1, 12 * 3600)


def test_the_command_writes_json_csv_and_a_table(both_teams):
    rows = [json.loads(line) for line in run_command("--json")]
    assert {(row["month"], row["team"], row["attempts"]) for row in rows} == {
        ("2026-11", "Research", 1), ("2026-11", "Others", 1)
    }  # fmt: skip
    table = list(csv.DictReader(run_command("--csv", "--by", "team")))
    assert [row["energy kWh"] for row in table] == ["not measured"] * 2
    assert run_command("--by", "team")[1].split() == [
        "Others", "1", "1.00", "1.00", "100.0", "not", "measured", "0.0", "not", "measured", "0.0",
    ]  # fmt: skip


def test_a_name_that_a_spreadsheet_would_run_is_escaped(both_teams, team):
    team.name = '=HYPERLINK("http://bad")'
    team.save()
    names = [row["team"] for row in csv.DictReader(run_command("--csv", "--by", "team"))]
    assert names == ['\'=HYPERLINK("http://bad")', "Others"]


def test_an_unknown_grouping_is_refused(db):
    with pytest.raises(CommandError, match="'owner' is unknown"):
        run_command("--by", "owner")
