"""Corrections fitted to the ratios of ended runs."""

from __future__ import annotations

import pytest

from engine.planner import fit_correction, outer_deciles


def test_a_correction_is_the_median_with_the_outer_deciles():
    found = fit_correction("fp32", "forward_s", [1.0, 2.0, 3.0, 4.0, 5.0] * 20)
    assert (found.dtype, found.phase, found.ratio, found.n) == ("fp32", "forward_s", 3.0, 100)
    assert (found.low, found.high) == (1.0, 5.0)


@pytest.mark.parametrize(("num_runs", "margin"), [(1, 1.25), (4, 1.125), (25, 1.05)])
def test_equal_ratios_keep_a_margin_that_falls_with_the_number_of_runs(num_runs: int, margin: float):
    found = fit_correction("bf16", "memory", [2.0] * num_runs)
    assert (found.low, found.high) == (pytest.approx(2 / margin), pytest.approx(2 * margin))


def test_outer_deciles_are_interpolated_and_one_value_is_both():
    assert outer_deciles([float(n) for n in range(11)]) == (1.0, 9.0)
    assert outer_deciles([0.0, 1.0]) == (pytest.approx(0.1), pytest.approx(0.9))
    assert outer_deciles([7.0]) == (7.0, 7.0)
