"""Learning rate schedules."""

from __future__ import annotations

import pytest

from engine.rank.train.schedule import learning_rate
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
