"""Health of drawn curves: each kind, with the noise and length of real runs, is told from its construction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.health.assess import assess
from engine.health.curves import Curve

SEEDS = (1, 20261201, 77)
CURVES_A_KIND = 60


def smooth(noise: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """White noise, or noise that a moving average has correlated, as many loggers write it."""
    if draw.random() < 0.5:
        return noise
    width = int(draw.integers(2, 12))
    return np.convolve(noise, np.full(width, 1 / np.sqrt(width)), mode="same")


def falling(draw: np.random.Generator, num_points: int) -> tuple[np.ndarray, float]:
    """A power law or an exponential fall that goes on to the end, and its scale."""
    first, last = draw.uniform(2, 12), draw.uniform(0.3, 1.6)
    x = np.linspace(0, 1, num_points)
    if draw.random() < 0.5:
        curve = last + (first - last) * (1 + 100 * x) ** -draw.uniform(0.1, 0.5)
    else:
        curve = last + (first - last) * np.exp(-x * draw.uniform(1.5, 4))
    return curve, first - last


def steps_of(draw: np.random.Generator, num_points: int) -> np.ndarray:
    return np.arange(num_points) * int(draw.choice([1, 1, 10, 50])) + int(draw.integers(0, 2))


def curve(draw: np.random.Generator, change: Callable[[np.ndarray, float], np.ndarray] = lambda c, s: c,
          num_points: int = 0) -> Curve:  # fmt: skip
    num_points = num_points or int(draw.choice([60, 150, 400, 3_000]))
    values, scale = falling(draw, num_points)
    values = change(values, scale)
    noise = smooth(draw.standard_normal(num_points), draw) * scale * draw.uniform(0, 0.008)
    return Curve(steps_of(draw, num_points), values + noise)


def diverging(values: np.ndarray, scale: float, at: float, height: float) -> np.ndarray:
    start = int(len(values) * at)
    return np.concatenate(
        [values[:start], np.linspace(values[start - 1], values[0] + height * scale, len(values) - start)]
    )


def draw_case(kind: str, draw: np.random.Generator) -> tuple[Curve | None, Curve | None]:
    if kind == "improving":
        return curve(draw), None
    if kind == "diverged above the start":
        return curve(draw, lambda c, s: diverging(c, s, draw.uniform(0.2, 0.8), draw.uniform(0.2, 3))), None
    if kind == "diverged half way":
        return curve(
            draw, lambda c, s: diverging(c, s, draw.uniform(0.3, 0.6), draw.uniform(-0.25, -0.05))
        ), None
    if kind == "nan":
        found = curve(draw)
        found.values[int(len(found) * draw.uniform(0.1, 0.95)) :] = draw.choice([np.nan, np.inf])
        return found, None
    if kind == "gaps":
        found = curve(draw)
        found.values[draw.integers(5, len(found) - 5, 3)] = np.nan
        return found, None
    if kind == "not learning":
        level = draw.uniform(0.5, 10)
        return curve(draw, lambda c, s: np.full(len(c), level)), None
    if kind == "plateau":

        def flat(values: np.ndarray, scale: float) -> np.ndarray:
            start = int(len(values) * draw.uniform(0.15, 0.45))
            fall = np.linspace(values[0], values[-1], start)
            return np.concatenate([fall, np.full(len(values) - start, fall[-1])])

        return curve(draw, flat), None
    if kind == "spikes":
        found = curve(draw, num_points=int(draw.choice([400, 3_000])))
        for at in draw.uniform(0.1, 0.97, int(draw.integers(1, 5))):
            place = int(len(found) * at)
            found.values[place : place + int(draw.integers(1, 4))] *= draw.uniform(2, 6)
        return found, None
    assert kind == "overfitting"
    training = curve(draw, lambda c, s: np.linspace(c[0], c[-1] * 0.3, len(c)))
    num_points = int(draw.integers(6, 40))
    x = np.linspace(0, 1, num_points)
    best = draw.uniform(0.2, 0.6)
    fall, rise = np.maximum(best - x, 0) / best, np.maximum(x - best, 0) * draw.uniform(0.4, 1.5)
    values = 2 + 2 * (fall**2 + rise**1.5)
    values += draw.standard_normal(num_points) * draw.uniform(0, 0.01)
    return training, Curve((x * training.steps[-1]).astype(np.int64), values)


KINDS = {"improving": "improving", "diverged above the start": "diverged", "diverged half way": "diverged",
         "nan": "nan", "gaps": "gaps", "not learning": "not learning", "plateau": "plateau", "spikes": "spikes",
         "overfitting": "overfitting"}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawn_curve_is_named_by_its_construction(kind):
    wrong = []
    for seed in SEEDS:
        draw = np.random.default_rng([seed, len(kind)])
        for number in range(CURVES_A_KIND):
            found = assess(*draw_case(kind, draw))
            if found.name != KINDS[kind]:
                wrong.append((seed, number, found.name, found.sentence))
    share = len(wrong) / (len(SEEDS) * CURVES_A_KIND)
    assert share <= (0.01 if kind in ("improving", "nan") else 0.04), (share, wrong[:5])


@pytest.mark.parametrize("count", [0, 1, 5, 9])
def test_a_short_curve_is_not_judged(count):
    found = assess(Curve(np.arange(count), np.linspace(3, 2, count)), None)
    assert (found.name, found.severity) == ("unknown", "")
    assert ("no loss" in found.sentence) == (count == 0)


def test_the_newest_value_of_a_step_counts():
    found = Curve.from_points(np.array([1, 2, 3, 2, 3]), np.array([1.0, 9.0, 9.0, 2.0, 3.0]))
    assert found.steps.tolist() == [1, 2, 3] and found.values.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_the_scale_of_a_loss_does_not_matter(scale):
    draw = np.random.default_rng(3)
    for kind in KINDS:
        training, validation = draw_case(kind, draw)
        scaled = [one and Curve(one.steps, one.values * scale) for one in (training, validation)]
        assert assess(*scaled).name == assess(training, validation).name
