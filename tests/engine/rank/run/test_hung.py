"""Hang detection with real ranks that are stopped by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.directory import AttemptDirectory
from engine.telemetry import heartbeat, wire
from engine.telemetry.heartbeat import Stage
from tests.engine.rank.attempts import ROOT, tiny, until, write_attempt

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(180)]


def seconds_of_steps(spool: Path) -> float:
    if not spool.exists():
        return 0.0
    whole = [text for text in spool.read_bytes().splitlines(keepends=True) if text.endswith(b"\n")]
    times = [line.at for text in whole if (line := wire.decode(text)).k == "step"]
    return times[-1] - times[0] if times else 0.0


def test_a_stopped_rank_ends_the_attempt_with_stacks_in_the_log(tmp_path: Path, rank_data_dir: Path) -> None:
    spec = tiny(parallel={"data": 2}, budget={"steps": 1_000_000})
    directory: AttemptDirectory = write_attempt(tmp_path / "attempt", spec, rank_data_dir)
    environment = os.environ | {"FOURWALLS_HUNG_AFTER_S": "3", "OMP_NUM_THREADS": "1"}
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "engine.supervisor", str(directory.path)], cwd=ROOT, env=environment
    )
    try:
        # The supervisor needs two polls to learn the time of a step.
        until(lambda: seconds_of_steps(directory.spool / "rank1.jsonl") > 2.5, "steps for 2.5 s", 90)
        state = directory.read_state()
        assert state is not None
        os.kill(state.ranks[1].pid, signal.SIGSTOP)
        assert supervisor.wait(60) == 1
    finally:
        supervisor.kill()
        supervisor.wait()
    state = directory.read_state()
    assert state is not None
    assert state.state == "failed"
    assert state.reason.startswith("hung: no progress for ")
    assert state.reason.endswith("rank 1 is stopped by a signal")
    assert "Current thread" in (directory.log / "rank0.log").read_text(), (
        "the stacks of the rank that still runs"
    )
    assert {rank.exit_code for rank in state.ranks} == {-signal.SIGKILL}


def test_a_rank_stopped_during_the_build_is_detected(tmp_path: Path, rank_data_dir: Path) -> None:
    spec = tiny(parallel={"data": 2}, budget={"steps": 1_000_000})
    directory: AttemptDirectory = write_attempt(tmp_path / "attempt", spec, rank_data_dir)
    environment = os.environ | {"FOURWALLS_BUILD_LIMIT_S": "4", "OMP_NUM_THREADS": "1"}
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "engine.supervisor", str(directory.path)], cwd=ROOT, env=environment
    )

    def builds() -> bool:
        beat = heartbeat.read(directory.path, 1)
        return beat is not None and beat.stage == Stage.BUILD

    try:
        until(builds, "a rank that builds", 90)
        state = directory.read_state()
        assert state is not None
        os.kill(state.ranks[1].pid, signal.SIGSTOP)
        assert supervisor.wait(60) == 1
    finally:
        supervisor.kill()
        supervisor.wait()
    state = directory.read_state()
    assert state is not None and state.cause == "hung"
    assert (
        "s while joining the other ranks and building the engine; rank 1 is stopped by a signal"
        in state.reason
    )
