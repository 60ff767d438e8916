"""The tests of the series, and of the watch over them, on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TESTS = ("tests/jobs/series", "tests/dashboard/live/test_watcher.py")


@pytest.mark.services
@pytest.mark.timeout(600)
def test_every_test_of_the_series_and_of_the_watch_passes_on_postgresql(postgresql):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *TESTS, "-q", "-m", "not services", "-p", "no:cacheprovider"],
        env={**os.environ, "DATABASE_URL": postgresql},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
