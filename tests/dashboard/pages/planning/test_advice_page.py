"""Advice page: the best plans within a budget, each with its submit form."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse

from engine.planner.advice import COMMON_DEVICES
from jobs.models import Device, Pool
from tests.jobs.finished_jobs import add_profile

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

PAGE = "/advice/"


def rows_of(text: str) -> list[str]:
    return re.findall(r"<tr[^>]*>.*?</tr>", text[text.index("<tbody") :], re.S)


def address_in(row: str) -> str:
    return html.unescape(re.search(r'href="([^"]*submit[^"]*)"', row)[1])


def test_every_known_and_planned_device_is_a_row_with_its_standing(owner_browser, node):
    add_profile(Device.objects.get(id="a-0"))
    text = owner_browser.get(PAGE, {"preset": "demo"}).text
    rows = rows_of(text)
    assert len(rows) == len(COMMON_DEVICES) + 1
    ours = next(row for row in rows if "pool default" in row)
    assert re.search(r">\s*measured\s*</span>", ours)
    assert sum(bool(re.search(r">\s*estimated\s*</span>", row)) for row in rows) == len(COMMON_DEVICES)
    assert "H200 SXM" in text
    assert '<svg class="plot"' in text


def test_an_unprobed_pool_has_no_plan_and_the_reason(owner_browser, node):
    [ours] = [
        row for row in rows_of(owner_browser.get(PAGE, {"preset": "demo"}).text) if "pool default" in row
    ]
    assert "have not been probed" in ours
    assert "href" not in ours


def test_a_row_opens_the_submit_form_with_that_plan(owner_browser, node):
    add_profile(Device.objects.get(id="a-0"))
    query = {"preset": "demo", "model.layers": "2", "tokens": "1e6"}
    [ours] = [row for row in rows_of(owner_browser.get(PAGE, query).text) if "pool default" in row]
    address = address_in(ours)
    sets = parse_qs(urlsplit(address).query)["set"]
    assert {"model.layers=2", "pool=default", "budget.steps=489"} <= set(sets)  # 1e6 / (16 x 128), rounded up
    form = owner_browser.get(address)
    assert form.status_code == 200
    assert 'name="model.layers" value="2"' in form.text


def test_plans_over_the_budget_come_last_with_the_reason(owner_browser, node):
    text = owner_browser.get(PAGE, {"preset": "1.3b", "tokens": "26e9", "deadline_h": "48"}).text
    rows = rows_of(text)
    message = ["; the limit is" in row or "not been probed" in row or "fits" not in row for row in rows]
    assert any("; the limit is" in row for row in rows)
    assert not message[0]
    assert message == sorted(message)
    none = owner_browser.get(PAGE, {"preset": "1.3b", "tokens": "26e9", "deadline_h": "0.01"}).text
    assert "No option is within the budget." in none


def test_one_device_is_listed_by_its_layouts(owner_browser, node):
    text = owner_browser.get(PAGE, {"preset": "1.3b", "on": "H100 SXM", "devices": "8"}).text
    rows = rows_of(text)
    assert "Parallel layouts" in text
    assert len(rows) > 1
    assert all("H100 SXM" in row for row in rows)
    assert len({address_in(row) for row in rows}) == len(rows)


def test_money_counts_where_a_pool_has_a_price(owner_browser, node):
    add_profile(Device.objects.get(id="a-0"))
    Pool.objects.update(price_per_device_hour=3.6)
    text = owner_browser.get(PAGE, {"preset": "demo", "by": "money"}).text
    [ours] = [row for row in rows_of(text) if "pool default" in row]
    assert "EUR" in ours
    assert text.count("no price is set for this device") == len(COMMON_DEVICES)


@pytest.mark.parametrize(
    "query, message",
    [
        ({"tokens": "many"}, "is not a number above 0"),
        ({"devices": "-1"}, "is not a number above 0"),
        ({"model.layers": "0"}, "model.layers"),
    ],
)
def test_an_invalid_value_is_refused_beside_its_field(owner_browser, node, query, message):
    answer = owner_browser.get(PAGE, {"preset": "demo", **query})
    assert answer.status_code == 200
    assert "A field is not valid" in answer.text
    if message != "model.layers":
        assert message in html.unescape(answer.text)


def test_an_unknown_preset_is_not_found(owner_browser):
    assert owner_browser.get(PAGE, {"preset": "nonsense"}).status_code == 404


def test_a_pool_that_takes_no_jobs_of_the_readers_teams_is_left_out(owner_browser, team, other_team, node):
    add_profile(Device.objects.get(id="a-0"))
    Pool.objects.get().allowed_teams.add(other_team)
    assert "pool default" not in owner_browser.get(PAGE, {"preset": "demo"}).text
    assert reverse("advice") == PAGE
