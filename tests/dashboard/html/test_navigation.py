"""Navigation bar: every item is reachable and the current page is marked."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from dashboard.html.navigation import NAVIGATION


@pytest.mark.parametrize("item", NAVIGATION, ids=lambda item: item.route)
def test_an_item_opens_its_page_which_marks_the_item(owner_browser, item):
    answer = owner_browser.get(reverse(item.route))
    assert answer.status_code == 200
    marked = re.findall(r'href="([^"]+)" aria-current="page"', answer.text)
    assert set(marked) == {reverse(item.route)}


def test_the_main_items_fit_on_a_phone():
    assert len([item for item in NAVIGATION if item.is_main]) <= 5


def test_a_run_page_marks_the_item_of_the_runs(owner_browser, make_job):
    text = owner_browser.get(f"/runs/{make_job().run.id}/").text
    assert f'href="{reverse("runs")}" aria-current="page"' in text
