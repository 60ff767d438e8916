"""Fixtures for an agent with fake supervisors."""

from __future__ import annotations

import os

import pytest

from engine.directory import AttemptDirectory
from fourwalls.system import procfs
from jobs.agent import launch
from jobs.agent.launch import Launched
from jobs.agent.loop import Agent
from jobs.models import Job
from tests.jobs.placed_jobs import assign


@pytest.fixture
def started(monkeypatch) -> list[AttemptDirectory]:
    """Directories of the started supervisors. No process is started, and each counts as alive."""
    directories: list[AttemptDirectory] = []

    def start(directory, fork_supervisor):
        directories.append(directory)
        return Launched(os.getpid(), procfs.stat(os.getpid()).started_ticks)

    monkeypatch.setattr(launch, "start", start)
    return directories


@pytest.fixture
def agent(node, settings, started) -> Agent:
    settings.NODE_DIR.mkdir()
    return Agent(node, settings.NODE_DIR)


@pytest.fixture
def claimed(agent, started, make_job) -> tuple[Job, AttemptDirectory]:
    """A job whose supervisor the agent has started, and its directory."""
    job = make_job()
    assign(job)
    agent.tick()
    return job, started[0]
