"""Fixtures: sweeps in a pool with room for all of their runs."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.models import Sweep
from jobs.sweeps import sweep_actions
from tests.jobs.sweeps.helpers import LR, VALUES


@pytest.fixture
def submit(make_spec, make_node, team, owner):
    """submit(strategy='halving', ...): a sweep over four learning rates in a pool with room for all of its runs."""
    make_node("big", devices=16)

    def make(*changes: str, **values: Any) -> Sweep:
        values = {"vary": {LR: VALUES}, "parallel": 16, "metric": "loss"} | values
        return sweep_actions.submit(
            spec=make_spec(*changes, devices=1), values=values, team=team, owner=owner
        )

    return make


@pytest.fixture
def halving(submit) -> Sweep:
    return submit(strategy="halving", count=4, first_steps=50, eta=2)  # rungs at 50, 100, 200 steps
