"""Cold start of a rank, and imports of a rank after preloading."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.supervisor.environment import free_port
from tests.engine.rank.attempts import ROOT, tiny, write_attempt

pytestmark = pytest.mark.ranks


def test_one_rank_runs_from_the_command_line_and_writes_its_spool(
    tmp_path: Path, rank_data_dir: Path
) -> None:
    directory = write_attempt(tmp_path / "attempt", tiny(budget={"steps": 3}), rank_data_dir)
    environment = os.environ | {"MASTER_PORT": str(free_port("127.0.0.1")), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "engine.rank", str(directory.path), "0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (directory.spool / "rank0.jsonl").read_text().splitlines()]
    imports = next(line for line in lines if line["k"] == "phase" and line["text"] == "imports")
    assert imports["seconds"] > 0.3, "a cold start imports torch"
    assert [line["k"] for line in lines if line["k"] != "clock"][-1] == "result"


@pytest.mark.parametrize("arguments", [[], ["dir"], ["dir", "x"], ["dir", "0", "more"]])
def test_wrong_arguments_print_the_usage(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "engine.rank", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "usage: python -m engine.rank DIR RANK\n"


IMPORTS_AFTER_FORK = """
import json, sys, time
from engine.directory import AttemptDirectory
from engine.rank.run.forkserver import preload
preload("cpu")
from engine.rank.run.start import run_rank
before = set(sys.modules)
run_rank(AttemptDirectory(sys.argv[1]), 0, time.perf_counter())
sys.stderr.write("LATE " + json.dumps(sorted(set(sys.modules) - before)) + "\\n")
"""


def test_after_preloading_a_rank_imports_at_most_five_modules(tmp_path: Path, rank_data_dir: Path) -> None:
    spec = tiny(parallel={"zero_stage": 3, "activation_checkpointing": "full"}, budget={"steps": 2})
    directory = write_attempt(tmp_path / "attempt", spec, rank_data_dir)
    environment = os.environ | {"MASTER_PORT": str(free_port("127.0.0.1"))}
    command = [sys.executable, "-c", IMPORTS_AFTER_FORK, str(directory.path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    [late] = [line.removeprefix("LATE ") for line in done.stderr.splitlines() if line.startswith("LATE ")]
    modules = [name for name in json.loads(late) if not name.startswith("pydoc_data")]
    assert len(modules) <= 5, modules
