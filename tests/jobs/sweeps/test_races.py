"""Concurrent schedulers and people acting on one sweep."""

from __future__ import annotations

import pytest
from django.db.models import Max

from jobs.queue import job_actions
from jobs.states.jobs import FINAL
from jobs.sweeps import advance, sweep_actions
from tests.jobs.sweeps.helpers import LR, job_of, now, train
from tests.jobs.test_races import run_at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_schedulers_submit_each_point_once_and_decide_each_rung_once(halving):
    for number, loss in enumerate((3.0, 1.0, 4.0, 2.0), start=1):
        train(halving, number, loss)
    for _ in range(3):
        run_at_once(*[advance.advance_all] * 3)
    assert len(now(halving).decisions) == 1
    assert halving.events.filter(text__startswith="Rung 1").count() == 1
    for number in (2, 4):
        promoted = job_of(halving, number).events.filter(text__startswith="Promoted")
        assert promoted.count() == 1


def test_concurrent_schedulers_submit_each_point_once(submit):
    sweep = submit(vary={LR: {"from": 0.1, "to": 1, "points": 12}}, parallel=3)
    for _ in range(4):
        run_at_once(*[advance.advance_all] * 3)
        for job in sweep.jobs.exclude(state__in=FINAL):
            job_actions.cancel(job, actor="test")
    assert sweep.jobs.count() == 12 == sweep.jobs.aggregate(last=Max("sweep_number"))["last"]


def test_a_cancel_during_an_advance_leaves_no_job_live(submit):
    for _ in range(5):
        sweep = submit(parallel=1)
        job_actions.cancel(job_of(sweep, 1), actor="test")
        run_at_once(advance.advance_all, lambda sweep=sweep: sweep_actions.cancel(sweep, "tom"))
        assert not sweep.jobs.exclude(state__in=FINAL).exists()
