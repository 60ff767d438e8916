"""The same tests on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import postgresql

__all__ = ["postgresql"]
HERE = Path(__file__).resolve().parent


@pytest.mark.services
@pytest.mark.timeout(600)
def test_every_test_of_the_series_passes_on_postgresql(postgresql):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(HERE), "-q", "-m", "not services", "-p", "no:cacheprovider"],
        env={**os.environ, "DATABASE_URL": postgresql},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
