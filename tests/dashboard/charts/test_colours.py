"""A run has one colour, on every page and at every time."""

from __future__ import annotations

from types import SimpleNamespace

from dashboard.charts.colours import colour_of, colour_of_id
from jobs.ids import new_id


def test_the_colour_follows_from_the_id_alone():
    assert colour_of_id("abcdefghjkmn") == colour_of_id("abcdefghjkmn")
    assert len({colour_of_id(new_id()) for _ in range(500)}) == 36


def test_what_a_person_chose_comes_first_and_nothing_else_is_taken_for_a_colour():
    assert colour_of(SimpleNamespace(id="a", colour="#12aBf0")) == "#12aBf0"
    for odd in ("", "red", "#12", "#12aBf0;x", "url(x)"):
        assert colour_of(SimpleNamespace(id="a", colour=odd)) == colour_of_id("a")
