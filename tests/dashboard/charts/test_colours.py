"""Colours of runs."""

from __future__ import annotations

from types import SimpleNamespace

from dashboard.charts.colours import colour_from_id, get_colour
from jobs.ids import new_id


def test_the_colour_follows_from_the_id_alone():
    assert colour_from_id("abcdefghjkmn") == colour_from_id("abcdefghjkmn")
    assert len({colour_from_id(new_id()) for _ in range(500)}) == 36


def test_a_chosen_colour_comes_first_and_anything_else_is_ignored():
    assert get_colour(SimpleNamespace(id="a", colour="#12aBf0")) == "#12aBf0"
    for odd in ("", "red", "#12", "#12aBf0;x", "url(x)"):
        assert get_colour(SimpleNamespace(id="a", colour=odd)) == colour_from_id("a")
