"""Fixtures: jobs with recorded steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.models import Attempt, Job, Node
from jobs.states.jobs import AttemptState
from tests.jobs.verdicts.recording import record_steps


@pytest.fixture
def trained(make_job: Callable[..., Job], node: Node) -> Callable[..., Job]:
    """trained({'data_wait_s': 0.06}, {}): a job of two ranks with recorded steps."""

    def train(*ranks: dict[str, float], changes: tuple[str, ...] = (), **more: Any) -> Job:
        job = make_job("parallel.zero_stage=0", *changes, devices=len(ranks))
        attempt = Attempt.objects.create(job=job, node=node, number=1, state=AttemptState.RUNNING)
        record_steps(job, attempt, *ranks, **more)
        return job

    return train
