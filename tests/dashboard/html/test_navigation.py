"""The bar of every page: each place once in sight, once under More where there is little room, and where one is."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from dashboard.html.navigation import PLACES


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.route)
def test_a_place_leads_to_its_page_which_says_that_one_is_there(owner_browser, place):
    answer = owner_browser.get(reverse(place.route))
    assert answer.status_code == 200
    marked = re.findall(r'href="([^"]+)" aria-current="page"', answer.text)
    assert set(marked) == {reverse(place.route)}


def test_the_main_places_fit_a_phone():
    assert len([place for place in PLACES if place.is_main]) <= 5


def test_a_run_belongs_to_the_runs(owner_browser, make_job):
    text = owner_browser.get(f"/runs/{make_job().run.id}/").text
    assert f'href="{reverse("runs")}" aria-current="page"' in text
