"""Link fit of the fabric test on simulated times, also with outliers."""

from __future__ import annotations

import pytest

from engine.hardware.fabric_test import (
    ALGORITHMS,
    BY_NAME,
    MAX_SIZES,
    bus_bytes_per_s,
    fit_link,
    message_sizes,
    total_bytes,
)

LATENCY_S, BYTES_PER_S = 12e-6, 5e9


def times(name: str, num_ranks: int, outliers: dict[int, float] | None = None) -> list[tuple[float, float]]:
    """Times of a link with LATENCY_S and BYTES_PER_S; `outliers` multiplies those of some sizes."""
    one = BY_NAME[name]
    found = []
    for number, size in enumerate(message_sizes(MAX_SIZES)):
        whole = total_bytes(one, num_ranks, size)
        seconds = one.hops(num_ranks) * LATENCY_S + one.share(num_ranks) * whole / BYTES_PER_S
        found.append((size, seconds * (outliers or {}).get(number, 1.0)))
    return found


def test_sizes_double_from_1_kib_to_16_mib():
    assert (message_sizes(200)[0], message_sizes(200)[-1], len(message_sizes(200))) == (
        1024,
        16 * 1024**2,
        15,
    )
    assert message_sizes(3) == [1024, 2048, 4096]


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("num_ranks", [2, 5, 8])
def test_the_fit_recovers_the_link_from_every_collective(name: str, num_ranks: int):
    found = fit_link(BY_NAME[name], num_ranks, times(name, num_ranks))
    assert (found.latency_s, found.bytes_per_s) == (pytest.approx(LATENCY_S), pytest.approx(BYTES_PER_S))
    assert found.error_share < 1e-9


def test_a_few_outliers_hardly_move_the_fit():
    found = fit_link(BY_NAME["ring"], 4, times("ring", 4, {2: 9.0, 7: 4.0, 13: 6.0}))
    assert found.latency_s == pytest.approx(LATENCY_S, rel=0.1)
    assert found.bytes_per_s == pytest.approx(BYTES_PER_S, rel=0.1)


def test_nothing_is_fitted_to_two_sizes_or_to_times_that_do_not_grow():
    assert fit_link(BY_NAME["ring"], 2, times("ring", 2)[:2]) is None
    assert fit_link(BY_NAME["ring"], 2, [(size, 1e-3 / size) for size in message_sizes(15)]) is None


def test_bus_bandwidth_is_comparable_over_collectives_and_ranks():
    """On an ideal ring every NCCL collective shows the bandwidth of the link."""
    for name in ("ring", "backend", "reduce_scatter", "all_gather", "send"):
        for num_ranks in (2, 8):
            one, size = BY_NAME[name], 2**30
            seconds = one.share(num_ranks) * total_bytes(one, num_ranks, size) / BYTES_PER_S
            assert bus_bytes_per_s(one, num_ranks, size, seconds) == pytest.approx(BYTES_PER_S)


def test_every_algorithm_has_its_costs():
    assert len(BY_NAME) == len(ALGORITHMS)
    assert [one.sent(8) for one in ALGORITHMS if one.sent] == [1.75, 3, 7, 1.75, 1, 1]
