"""The accounting page: who sees whose, how it is added up, and that the saved file says the same."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from jobs.models import Job
from jobs.pools import pool_settings
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState
from tests.dashboard.test_query_counts import queries
from tests.jobs.device_usage import add_energy, end_attempt, hold_devices

ACCOUNTING = "/accounting/?month=2026-11"
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def admin_browser(team, browser_of):
    return browser_of(User.objects.create_user("ann", is_staff=True))


@pytest.fixture
def spent(make_job, make_node, make_spec, other_team, stranger, pool):
    """Two devices for an hour by one team, one by another; a price, and energy of the first."""
    pool_settings.change(pool, "ann", {"price_per_device_hour": "2"})
    make_node("b", devices=1)
    mine = hold_devices(make_job(devices=2), NOON)
    add_energy(mine, (HOUR, 1.8e6), devices=("a-0",))
    theirs = job_actions.submit(spec=make_spec(devices=1), team=other_team, owner=stranger)
    end_attempt(hold_devices(theirs, NOON), at=NOON + HOUR)
    return end_attempt(mine, AttemptState.SUCCEEDED, NOON + HOUR)


def table(text: str) -> list[list[str]]:
    """The cells of the page's table, its head first."""
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in rows]
    plain = [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]
    return [["" if cell == "–" else cell for cell in row] for row in plain]


def drawing(text: str) -> dict:
    return json.loads(
        re.search(r'id="accounting-drawing" type="application/json">(.*?)</script>', text).group(1)
    )


def test_a_member_sees_their_team_only_and_an_admin_all(
    spent, owner_browser, stranger_browser, admin_browser
):
    assert [row[0] for row in table(owner_browser.get(ACCOUNTING).text)[1:]] == ["Research"]
    assert [row[0] for row in table(stranger_browser.get(ACCOUNTING).text)[1:]] == ["Others"]
    assert [row[0] for row in table(admin_browser.get(ACCOUNTING).text)[1:]] == ["Research", "Others"]


@pytest.mark.parametrize("address", ["/accounting/", "/accounting/csv/"])
def test_another_teams_accounting_is_not_there(spent, stranger_browser, owner_browser, address):
    assert owner_browser.get(f"{address}?team=research").status_code == 200
    assert stranger_browser.get(f"{address}?team=research").status_code == 404
    assert stranger_browser.get(f"{address}?team=nowhere").status_code == 404


@pytest.mark.parametrize("wrong", ["month=2026-13", "month=x", "by=nothing", "pool=nowhere"])
def test_an_address_that_means_nothing_is_not_found(owner_browser, wrong):
    assert owner_browser.get(f"/accounting/?{wrong}").status_code == 404


@pytest.mark.parametrize("by", ["team", "pool", "person", "attempt", "day"])
def test_the_saved_file_says_exactly_what_the_page_says(spent, admin_browser, by):
    page = table(admin_browser.get(f"{ACCOUNTING}&by={by}").text)
    answer = admin_browser.get(f"/accounting/csv/?month=2026-11&by={by}")
    assert answer["Content-Disposition"] == f'attachment; filename="accounting-2026-11-by-{by}.csv"'
    assert list(csv.reader(io.StringIO(answer.text))) == page
    assert len(page) > 1


def test_a_name_that_a_spreadsheet_would_run_is_saved_as_a_text(spent, team, owner_browser):
    team.name = "@SUM(1+1)"
    team.save()
    rows = list(csv.reader(io.StringIO(owner_browser.get("/accounting/csv/?month=2026-11").text)))
    assert rows[1][0] == "'@SUM(1+1)"


def test_figures_say_what_they_cover(spent, owner_browser):
    text = " ".join(owner_browser.get(ACCOUNTING).text.split())
    assert "<dt>Device-hours</dt><dd>2</dd>" in text
    assert "0.50 kWh" in text
    assert "measured on 50.0 % of the device-time" in text
    assert "4.00 EUR" in text


def test_what_was_not_measured_and_has_no_price_is_no_number(make_job, node, owner_browser):
    end_attempt(hold_devices(make_job(), NOON), at=NOON + HOUR)
    text = owner_browser.get(ACCOUNTING).text
    assert "no price" in text and "not measured" in text and "EUR" not in text


def test_the_charts_add_up_to_the_table_day_by_day(spent, admin_browser, owner_browser):
    said = drawing(admin_browser.get(ACCOUNTING).text)
    place = said["x"].index(datetime(2026, 11, 10, tzinfo=UTC).timestamp())
    assert {line["name"]: line["values"][place] for line in said["stack"]} == {"Research": 2.0, "Others": 1.0}
    assert said["wasted"][place] == pytest.approx(1 / 3)
    assert said["wasted"][place - 1] is None
    assert [line["name"] for line in drawing(owner_browser.get(ACCOUNTING).text)["stack"]] == ["default"]


def test_over_all_months_the_charts_have_a_bar_a_month(spent, make_job, admin_browser):
    end_attempt(
        hold_devices(make_job(devices=1), NOON - timedelta(days=60)), at=NOON - timedelta(days=60) + HOUR
    )
    said = drawing(admin_browser.get("/accounting/?month=all").text)
    assert said["step"] == "month"
    assert [datetime.fromtimestamp(x, UTC).strftime("%Y-%m") for x in said["x"]] == [
        "2026-09",
        "2026-10",
        "2026-11",
    ]


def test_many_teams_share_the_last_colour_and_none_is_left_out(spent, make_spec, admin_browser, owner):
    from jobs.models import Team

    for number in range(9):
        team = Team.objects.create(name=f"T{number}", slug=f"t{number}")
        job = job_actions.submit(spec=make_spec(devices=1), team=team, owner=owner)
        end_attempt(hold_devices(job, NOON), at=NOON + HOUR)
    said = drawing(admin_browser.get(ACCOUNTING).text)
    assert len(said["stack"]) == 8 and said["stack"][-1]["name"] == "4 other teams"
    assert sum(sum(line["values"]) for line in said["stack"]) == pytest.approx(12.0)


def test_what_runs_now_is_named_and_not_booked(make_job, node, owner_browser):
    hold_devices(make_job(), timezone.now() - HOUR)
    text = " ".join(owner_browser.get("/accounting/").text.split())
    assert "<dd>1<small>2.00 device-hours so far, not booked yet" in text
    assert "Nothing was booked" in text and "1 runs now" in text


def test_an_attempt_leads_to_its_run(spent, owner_browser):
    job = Job.objects.get(id=spent.job_id)
    assert f"/runs/{job.run.id}/" in owner_browser.get(f"{ACCOUNTING}&by=attempt").text


@pytest.mark.parametrize("by", ["team", "attempt", "day"])
def test_twice_the_attempts_ask_no_more(spent, make_job, admin_browser, by):
    address = f"{ACCOUNTING}&by={by}"
    few = queries(admin_browser, address)
    for _ in range(3):
        end_attempt(hold_devices(make_job(devices=1), NOON), at=NOON + HOUR)
    assert queries(admin_browser, address) == few


def test_attempts_come_in_pages_and_are_saved_all(spent, make_job, admin_browser, monkeypatch):
    monkeypatch.setattr("dashboard.pages.accounting.views.ROWS_A_PAGE", 2)
    end_attempt(hold_devices(make_job(devices=1), NOON), at=NOON + HOUR / 2)
    pages = [table(admin_browser.get(f"{ACCOUNTING}&by=attempt&page={number}").text)[1:] for number in (1, 2)]
    assert [len(page) for page in pages] == [2, 1]
    saved = list(csv.reader(io.StringIO(admin_browser.get("/accounting/csv/?month=2026-11&by=attempt").text)))
    assert saved[1:] == [row for page in pages for row in page]
    assert [row[5] for row in saved[1:]] == ["2.00", "1.00", "0.50"]
