"""The same requests on a real PostgreSQL; the real client is asked on SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.services
@pytest.mark.timeout(300)
def test_searches_batches_retries_and_files_pass_on_postgresql(postgresql):
    files = [str(HERE / f"test_{name}.py") for name in ("search", "logging", "artifacts", "callers")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *files, "-q", "-p", "no:cacheprovider"],
        env={**os.environ, "DATABASE_URL": postgresql},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
