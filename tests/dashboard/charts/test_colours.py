"""Colours of runs."""

from __future__ import annotations

import random
import re
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from django.conf import settings

from dashboard.charts.colours import POSITIONS, colour_from_id, colour_from_position, get_colour
from dashboard.charts.run_labels import label_runs
from jobs.ids import new_id

TOKENS = (settings.BASE_DIR / "dashboard/static/css/tokens.css").read_text()
THEMES = {"light": '[data-bs-theme="light"]', "dark": '[data-bs-theme="dark"]'}
# Linear RGB as people with this vision see it: Machado, Oliveira and Fernandes (2009), severity 1.0; the least
# distance in OKLab (Ottosson 2020) that two of ten colours must have. One person in 10,000 has tritanopia.
VISIONS = {
    "normal": (np.eye(3), 0.14),
    "protanopia": (np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                             [-0.003882, -0.048116, 1.051998]]), 0.11),
    "deuteranopia": (np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                               [-0.011820, 0.042940, 0.968881]]), 0.11),
    "tritanopia": (np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                             [0.004733, 0.691367, 0.303900]]), 0.085),
}  # fmt: skip
LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip


def linear(hex_colour: str) -> np.ndarray:
    parts = np.array([int(hex_colour[n : n + 2], 16) / 255 for n in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    return LAB @ np.cbrt(LMS @ np.clip(rgb, 0, 1))


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    low, high = sorted(float(np.array([0.2126, 0.7152, 0.0722]) @ rgb) + 0.05 for rgb in (one, other))
    return high / low


def read_theme(theme: str) -> dict[str, str]:
    block = TOKENS[TOKENS.index(THEMES[theme]) :].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def run(run_id: str, name: str = "run", colour: str = "") -> SimpleNamespace:
    return SimpleNamespace(id=run_id, name=name, colour=colour)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_of_the_ten_colours_are_distinct(theme: str, vision: str):
    matrix, least = VISIONS[vision]
    tokens = read_theme(theme)
    seen = [oklab(matrix @ linear(tokens[f"run-{n}"])) for n in range(1, POSITIONS + 1)]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) >= least


@pytest.mark.parametrize("theme", THEMES)
def test_every_line_stands_out_from_its_chart(theme: str):
    tokens = read_theme(theme)
    names = [*(f"run-{n}" for n in range(1, POSITIONS + 1)), "ramp-low", "ramp-middle", "ramp-high"]
    assert {
        name: contrast(linear(tokens[name]), linear(tokens["surface"]))
        for name in names
        if contrast(linear(tokens[name]), linear(tokens["surface"])) < 3
    } == {}


def test_up_to_ten_runs_in_view_have_ten_colours_and_more_have_dashes_too():
    for seed in range(50):
        rng = random.Random(seed)
        ids = [f"{rng.randrange(16**12):012x}" for _ in range(rng.randint(1, 60))]
        labels = label_runs([run(one) for one in ids])
        looks = [(label["colour"], label["dash"]) for label in labels.values()]
        assert len(set(looks)) == len(ids)
        assert len({colour for colour, _ in looks}) == min(len(ids), POSITIONS)


def test_a_chosen_colour_comes_first_and_keeps_the_others():
    runs = [run("a"), run("b", colour="#12aBf0"), run("c")]
    assert [label["colour"] for label in label_runs(runs).values()] == [
        colour_from_position(0), "#12aBf0", colour_from_position(2),
    ]  # fmt: skip


def test_alone_a_colour_follows_from_the_id():
    assert colour_from_id("abcdefghjkmn") == colour_from_id("abcdefghjkmn")
    assert len({colour_from_id(new_id()) for _ in range(500)}) == 36
    assert get_colour(SimpleNamespace(id="a", colour="#12aBf0")) == "#12aBf0"
    for odd in ("", "red", "#12", "#12aBf0;x", "url(x)"):
        assert get_colour(SimpleNamespace(id="a", colour=odd)) == colour_from_id("a")
