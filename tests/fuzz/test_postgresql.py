"""Hostile requests on a real PostgreSQL, which refuses values that SQLite takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.services
@pytest.mark.timeout(600)
def test_every_part_bears_hostile_requests_on_postgresql(postgresql):
    command = [sys.executable, "-m", "pytest", str(HERE / "test_parts.py"), "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "DATABASE_URL": postgresql, "FOURWALLS_FUZZ_SEED": "7000000"}
    done = subprocess.run(
        command, env=environment, cwd=HERE.parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]
