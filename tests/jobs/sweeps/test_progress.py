"""Progress of a sweep by its rungs."""

from __future__ import annotations

import pytest

from jobs.sweeps import advance, ranking, sweep_actions
from jobs.sweeps.progress import completed_share, decided_rungs
from tests.jobs.sweeps.helpers import now, train

pytestmark = pytest.mark.django_db


def share(sweep) -> float:
    return completed_share(now(sweep), ranking.build_ranking(now(sweep)))


def test_the_share_counts_rungs_and_within_one_the_runs_that_reached_it(halving):
    assert share(halving) == 0.0
    train(halving, 1, 3.0)
    assert share(halving) == pytest.approx(1 / 4 / 3)  # one of four runs, of three rungs
    for number, loss in ((2, 1.0), (3, 4.0), (4, 2.0)):
        train(halving, number, loss)
    advance.advance_all()
    assert share(halving) == pytest.approx(1 / 3)


def test_a_sweep_that_is_over_is_complete(halving):
    sweep_actions.ACTIONS["cancel"](halving, "olga")
    assert share(halving) == 1.0


def test_a_decided_rung_lists_promoted_runs_first_with_their_values(halving):
    for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
        train(halving, number, loss)
    assert decided_rungs(now(halving), ranking.build_ranking(now(halving))) == []
    advance.advance_all()
    [rung] = decided_rungs(now(halving), ranking.build_ranking(now(halving)))
    assert (rung.steps, rung.num_promoted) == (50, 2)
    found = [(member.row.number, member.value, member.is_promoted) for member in rung.members]
    assert found == [(2, 1.0, True), (4, 2.0, True), (1, 3.0, False), (3, 4.0, False)]
