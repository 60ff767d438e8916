"""Import of DeepSpeed without mlflow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.rank.attempts import ROOT

pytestmark = pytest.mark.ranks

CODE = """
import sys
from engine.rank.run.deepspeed_import import import_deepspeed
import_deepspeed()
assert "mlflow" not in sys.modules
import mlflow
print(mlflow.NAME)
"""


def test_mlflow_is_not_imported_with_deepspeed_but_importable_afterwards(tmp_path: Path) -> None:
    (tmp_path / "mlflow.py").write_text("NAME = 'fake mlflow'\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["fake mlflow"], done.stderr
