"""Ten thousand runs with 20 parameters and 20 metrics each, made in bulk."""

from __future__ import annotations

import random
from collections.abc import Iterator

from django.contrib.auth.models import User
from django.db import connection

from jobs.models import Run, RunMetric, RunParam, RunTag, Team
from jobs.states.jobs import JobState

PARAMS = ["model.layers", "optimiser.learning_rate", *(f"param_{n}" for n in range(18))]
METRICS = ["loss", "tokens_per_s", *(f"metric_{n}" for n in range(18))]
AT_A_TIME = 500


def many_runs(team: Team, owner: User, number: int) -> None:
    """The same ones each time. Metric by metric as runs write them: each run's rows lie together."""
    dice = random.Random(0)
    for first in range(0, number, AT_A_TIME):
        some = [
            Run(team=team, owner=owner, name=f"run-{n}", origin="bench", state=JobState.SUCCEEDED)
            for n in range(first, min(number, first + AT_A_TIME))
        ]
        Run.objects.bulk_create(some)
        RunParam.objects.bulk_create([row for run in some for row in _params(run, dice)])
        RunMetric.objects.bulk_create([row for run in some for row in _metrics(run, dice)])
        RunTag.objects.bulk_create(
            [RunTag(run=run, key="baseline") for run in some if not dice.randrange(10)]
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _params(run: Run, dice: random.Random) -> Iterator[RunParam]:
    for key in PARAMS:
        number = dice.choice((8, 12, 24)) if key == "model.layers" else dice.randrange(1000) / 1000
        yield RunParam(run=run, key=key, value=str(number), number=number)


def _metrics(run: Run, dice: random.Random) -> Iterator[RunMetric]:
    for key in METRICS:
        last = dice.random() * 100
        figures = {"low": last / 2, "high": last * 2, "mean": last, "count": 1000, "num_finite": 1000}
        yield RunMetric(run=run, key=key, last=last, last_step=999, last_at_us=1, **figures)
