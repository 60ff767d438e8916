"""Two nodes of two devices each, and a job that needs both."""

from __future__ import annotations

import os

import pytest

from fourwalls.system import procfs
from jobs.agent import launch
from jobs.agent.launch import Launched
from jobs.models import Job, Pool
from jobs.queue import job_actions
from jobs.scheduler import loop
from tests.jobs.scheduler.gangs.two_nodes import TwoNodes


@pytest.fixture
def two_nodes(make_node, settings, tmp_path, monkeypatch) -> TwoNodes:
    settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
    settings.NODE_ADDRESS = "10.0.0.7"
    facts = {"checkpoint_root": settings.CHECKPOINT_ROOT}
    nodes = {name: make_node(name, devices=2, facts=facts) for name in ("a", "b")}
    Pool.objects.update(allows_several_nodes=True)
    both = TwoNodes(nodes, tmp_path)

    def start(directory, fork_supervisor):
        both.started[directory.path.parents[1].name] = directory
        return Launched(os.getpid(), procfs.stat(os.getpid()).started_ticks)

    monkeypatch.setattr(launch, "start", start)
    return both


@pytest.fixture
def job(two_nodes, owner, team, make_spec) -> Job:
    placed = job_actions.submit(spec=make_spec(devices=4), team=team, owner=owner)
    loop.schedule(placed.pool)
    return placed
