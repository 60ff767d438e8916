"""Navigation bar: every item is reachable and the current page is marked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.urls import reverse

from dashboard.urls import FAMILIES, NAVIGATION


@pytest.mark.parametrize("item", NAVIGATION, ids=lambda item: item.route)
def test_an_item_opens_its_page_which_marks_the_item(owner_browser, item):
    answer = owner_browser.get(reverse(item.route))
    assert answer.status_code == 200
    bar = answer.text.partition("</header>")[0]
    marked = re.findall(r'href="([^"]+)" aria-current="page"', bar)
    assert set(marked) == {reverse(item.route)}


def test_the_main_items_fit_on_a_phone():
    assert len([item for item in NAVIGATION if item.is_main]) <= 5


def test_a_run_page_marks_the_item_of_the_runs(owner_browser, make_job):
    text = owner_browser.get(f"/runs/{make_job().run.id}/").text
    assert f'href="{reverse("runs")}" aria-current="page"' in text


def test_every_page_family_is_in_the_list_of_families():
    """A folder that is left out would have no routes, and nothing else would fail."""
    pages = Path(__file__).parents[3] / "dashboard" / "pages"
    folders = {path.parent.name for path in pages.glob("*/*.py")}
    assert folders == set(FAMILIES)
    assert len(FAMILIES) == len(set(FAMILIES))
