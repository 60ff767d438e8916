"""Ten thousand runs with 20 parameters and 20 metrics each, created in bulk."""

from __future__ import annotations

import random
from collections.abc import Iterator

from django.contrib.auth.models import User
from django.db import connection

from jobs.models import Run, RunMetric, RunParam, RunTag, Team
from jobs.states.jobs import JobState

PARAMS = ["model.layers", "optimiser.learning_rate", *(f"param_{n}" for n in range(18))]
METRICS = ["loss", "tokens_per_s", *(f"metric_{n}" for n in range(18))]
BULK_SIZE = 500


def many_runs(team: Team, owner: User, number: int) -> None:
    """Create the same runs each time, metric by metric like real runs, so that the rows of a run are adjacent."""
    rng = random.Random(0)
    for first in range(0, number, BULK_SIZE):
        runs = [
            Run(team=team, owner=owner, name=f"run-{n}", origin="bench", state=JobState.SUCCEEDED)
            for n in range(first, min(number, first + BULK_SIZE))
        ]
        Run.objects.bulk_create(runs)
        RunParam.objects.bulk_create([row for run in runs for row in _params(run, rng)])
        RunMetric.objects.bulk_create([row for run in runs for row in _metrics(run, rng)])
        RunTag.objects.bulk_create([RunTag(run=run, key="baseline") for run in runs if not rng.randrange(10)])
    if connection.vendor == "postgresql":  # autovacuum does it in time; nothing does on SQLite
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def _params(run: Run, rng: random.Random) -> Iterator[RunParam]:
    for key in PARAMS:
        number = rng.choice((8, 12, 24)) if key == "model.layers" else rng.randrange(1000) / 1000
        yield RunParam(run=run, key=key, value=str(number), number=number)


def _metrics(run: Run, rng: random.Random) -> Iterator[RunMetric]:
    for key in METRICS:
        last = rng.random() * 100
        figures = {"low": last / 2, "high": last * 2, "mean": last, "count": 1000, "num_finite": 1000}
        yield RunMetric(run=run, key=key, last=last, last_step=999, last_at_us=1, **figures)
