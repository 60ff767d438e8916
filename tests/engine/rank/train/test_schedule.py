"""Learning rate schedules."""

from __future__ import annotations

import math
import random

import pytest
import torch

from engine.rank.train.optimisers import FACTORIES
from engine.rank.train.schedule import learning_rate
from engine.spec.parts import Optimiser
from tests.engine.rank.attempts import tiny


def rates(**optimiser: object) -> list[float]:
    spec = tiny(optimiser={"learning_rate": 1.0, "warmup_steps": 4} | optimiser, budget={"steps": 20})
    return [learning_rate(spec, step) for step in range(20)]


def test_warm_up_is_linear_and_ends_at_the_peak() -> None:
    assert rates()[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_cosine_falls_to_a_tenth_at_the_last_step() -> None:
    after = rates()[4:]
    assert after == sorted(after, reverse=True)
    assert after[-1] == pytest.approx(0.1)
    assert after[len(after) // 2] == pytest.approx(0.55, abs=0.06)


def test_constant_stays() -> None:
    assert set(rates(schedule="constant")[4:]) == {1.0}


def test_no_warm_up_starts_at_the_peak() -> None:
    assert rates(warmup_steps=0)[0] == 1.0


def test_a_run_that_is_all_warm_up_has_no_division_by_zero() -> None:
    assert rates(warmup_steps=20)[-1] == pytest.approx(1.0)
    assert rates(warmup_steps=19)[-1] == pytest.approx(1.0)


def test_linear_falls_evenly_to_zero_one_step_after_the_last() -> None:
    after = rates(schedule="linear")[4:]
    assert after == pytest.approx([(16 - n) / 16 for n in range(16)])


def test_wsd_stays_until_the_last_fifth_and_falls_to_almost_nothing() -> None:
    after = rates(schedule="wsd")[4:]
    assert set(after[:13]) == {1.0}
    assert after[13:] == pytest.approx([0.5, 0.2929, 0.1340], abs=1e-4)


def test_inverse_sqrt_starts_at_the_peak_and_halves_at_four_times_the_warm_up() -> None:
    after = rates(schedule="inverse_sqrt")
    assert after[3] == 1.0
    assert after[15] == pytest.approx(0.5)


@pytest.mark.parametrize("index", range(60))
def test_floor_and_warm_up_share_against_the_formulas(index: int) -> None:
    rng = random.Random(20261205 + index)
    schedule = rng.choice(("constant", "cosine", "linear", "inverse_sqrt"))
    floor, share = rng.choice((None, 0.0, 0.05, 0.5, 1.0)), rng.choice((None, 0.0, 0.1, 0.33))
    found = rates(schedule=schedule, floor=floor, warmup_share=share)
    warmup = 4 if share is None else round(20 * share)
    low = floor if floor is not None else 0.1 if schedule == "cosine" else 0.0
    assert found[:warmup] == pytest.approx([(step + 1) / warmup for step in range(warmup)])
    for step in range(warmup, 20):
        part = {
            "constant": 1.0,
            "cosine": (1 + math.cos(math.pi * (step - warmup) / max(1, 19 - warmup))) / 2,
            "linear": (20 - step) / (20 - warmup),
            "inverse_sqrt": math.sqrt(max(1, warmup) / (step + 1)),
        }[schedule]
        assert found[step] == pytest.approx(low + (1 - low) * part)
        assert found[step] >= low - 1e-12


@pytest.mark.parametrize("name", ["adamw", "adam"])
def test_betas_and_epsilon_reach_the_update(name: str) -> None:
    """Two steps of one weight against the formulas of Adam, arXiv 1412.6980, alg. 1."""
    rng = random.Random(7)
    beta1, beta2, epsilon, rate = rng.uniform(0, 0.99), rng.uniform(0, 0.99), 10 ** rng.uniform(-8, -1), 0.1
    chosen = Optimiser(
        name=name, learning_rate=rate, beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=0.0
    )
    weight = torch.nn.Parameter(torch.tensor([0.5]))
    optimiser = FACTORIES[name](chosen, [weight])
    mean = square = 0.0
    expected = 0.5
    for step in (1, 2):
        gradient = rng.uniform(-1, 1)
        weight.grad = torch.tensor([gradient])
        optimiser.step()
        mean, square = beta1 * mean + (1 - beta1) * gradient, beta2 * square + (1 - beta2) * gradient**2
        root = math.sqrt(square / (1 - beta2**step))
        expected -= rate * mean / (1 - beta1**step) / (root + epsilon)
        assert float(weight.detach()) == pytest.approx(expected, rel=1e-5)
