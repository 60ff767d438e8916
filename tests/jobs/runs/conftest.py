"""Four runs without jobs, and a user who filters them."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

import pytest

from jobs import runs, series
from jobs.models import Run
from jobs.states.jobs import JobState
from jobs.tracking import external_runs, params

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOSSES = {"low": [3.0, 1.0, 2.0], "high": [5.0, 4.0], "odd": [2.5, math.nan], "bare": []}
LAYERS = {"low": "8", "high": "12", "odd": "12.0", "bare": "many"}


@pytest.fixture
def some(owner, team):
    """low, high, odd (its last loss is NaN), bare (no metric); low is the newest."""
    made = {}
    for age, name in enumerate(LOSSES):
        run = external_runs.create(team=team, owner=owner, name=name, origin="test")
        params.store(run, {"model.layers": LAYERS[name], "data path": f"/corpora/{name}.txt"})
        points = [
            series.Point(key, "run", step, time.time() + step, value)
            for key in ("loss", "train/loss")
            for step, value in enumerate(LOSSES[name])
        ]
        if points:
            series.append(run.id, 0, "test", 0, points)
        Run.objects.filter(id=run.id).update(created_at=NOW - timedelta(days=2 * age, hours=1))
        made[name] = run
    external_runs.set_tags(made["low"], {"baseline": "", "stage": "final"})
    external_runs.set_tags(made["high"], {"stage": "first"})
    external_runs.set_state(made["low"], JobState.SUCCEEDED, actor="test")
    return made


@pytest.fixture
def asker(team, owner):
    return runs.Asker(Run.objects.filter(team=team), "olga", NOW)


@pytest.fixture
def find(asker):
    def names(text: str) -> set[str]:
        return {run.name for run in runs.filtered(asker.runs, text, asker)}

    return names
