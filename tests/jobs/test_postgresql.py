"""Runs the tests of these rooms on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOMS = (
    "accounting", "attempts", "exports", "lifecycle", "management", "nodes", "people", "planning", "pools",
    "queue", "runs", "tracking", "agent/test_subprocesses.py", "agent/test_doorbell.py", "agent/test_probes.py",
    "scheduler/test_busy_pool.py", "scheduler/test_idle.py", "scheduler/test_loop.py", "verdicts/test_forecasts.py",
)  # fmt: skip


@pytest.mark.services
@pytest.mark.timeout(600)
def test_queue_scheduler_agent_and_ingest_pass_on_postgresql(postgresql):
    files = sorted(str(path) for path in HERE.glob("test_*.py") if path.name != Path(__file__).name)
    files += [str(HERE / room) for room in ROOMS]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *files,
            "-q",
            "-m",
            "not services and not ranks",
            "-p",
            "no:cacheprovider",
        ],
        env={**os.environ, "DATABASE_URL": postgresql},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
