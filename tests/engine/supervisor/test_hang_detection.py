"""Hang detection from heartbeats, with a fake clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.directory import RankExit
from engine.supervisor import hang_detection
from engine.supervisor.hang_detection import Hang, HangDetector
from engine.telemetry import heartbeat
from engine.telemetry.heartbeat import Beat, Heartbeat, Stage
from tests.engine.supervised import until

RANKS = (RankExit(0, os.getpid()), RankExit(1, os.getpid()))


class FakeRanks:
    """Two ranks that beat three times per step and are polled once per second."""

    def __init__(self, limit_s: float = 120.0, stage: Stage = Stage.STEP) -> None:
        limits = {Stage.BUILD: 40.0, Stage.FIRST_STEP: 30.0, Stage.STEP: limit_s, Stage.LONG: 150.0}
        self.detector = HangDetector(Path("/nowhere"), limits)
        self.beats = {0: Beat(0, 1, stage), 1: Beat(0, 1, stage)}
        self.poll(1)

    def steps(self, count: int, seconds: float = 1.0) -> FakeRanks:
        for _ in range(count):
            self.beats = {r: Beat(b.step + 1, b.number + 3, Stage.STEP) for r, b in self.beats.items()}
            hang = self.poll(seconds)
        assert hang is None
        return self

    def poll(self, seconds: float, times: int = 1) -> Hang | None:
        return [self.detector.detect(dict(self.beats), seconds, RANKS) for _ in range(times)][-1]


def test_ranks_that_step_are_never_hung():
    FakeRanks(limit_s=2.0).steps(50)


def test_no_beat_for_the_limit_is_a_hang_whose_reason_names_the_step():
    fake = FakeRanks().steps(20)
    assert fake.poll(1, times=119) is None
    hang = fake.poll(1, times=2)
    assert hang is not None
    assert hang.reason == (
        "hung: no progress for 121 s after step 20 (a step takes 1 s); no rank is behind the others"
    )
    assert not hang.is_certain


def test_the_limit_of_slow_steps_is_ten_times_their_median():
    fake = FakeRanks().steps(5, seconds=5.0)
    for _ in range(4):  # steps of 25 s
        fake.poll(5, times=4)
        fake.steps(1, seconds=5.0)
    fake = FakeRanks(limit_s=1.0).steps(10, seconds=4.0)
    assert fake.poll(1, times=40) is None
    assert fake.poll(1, times=2) is not None


def test_the_rank_with_fewer_beats_is_the_one_that_lags():
    fake = FakeRanks().steps(20)
    fake.beats[0] = Beat(20, fake.beats[0].number + 2, Stage.STEP)
    fake.beats[1] = Beat(20, fake.beats[1].number + 1, Stage.STEP)
    fake.poll(1)
    hang = fake.poll(1, times=121)
    assert hang is not None
    assert (hang.rank, hang.is_certain) == (1, True)
    assert hang.reason.endswith("rank 1 lags behind the others")


def test_progress_of_one_rank_rules_out_a_hang():
    fake = FakeRanks(limit_s=5.0).steps(20)
    for _ in range(30):
        fake.beats[0] = Beat(20, fake.beats[0].number + 1, Stage.STEP)
        assert fake.poll(1) is None


def test_data_preparation_and_imports_have_no_limit():
    assert FakeRanks(stage=Stage.DATA).poll(1, times=10_000) is None
    assert HangDetector(Path("/nowhere")).detect({0: None, 1: None}, 10_000.0, RANKS) is None


@pytest.mark.parametrize(
    ("stage", "limit_s", "where"),
    [
        (Stage.BUILD, 40, "while joining the other ranks and building the engine"),
        (Stage.FIRST_STEP, 30, "in the first step"),
        (Stage.LONG, 150, "while saving, loading or validating"),
    ],
)
def test_each_stage_has_its_own_limit(stage, limit_s, where):
    fake = FakeRanks(stage=stage)
    assert fake.poll(1, times=limit_s - 1) is None
    hang = fake.poll(1, times=2)
    assert hang is not None
    assert hang.reason.startswith(f"hung: no progress for {limit_s + 1} s {where};")


def test_the_limit_of_the_first_step_applies_until_the_time_of_a_step_is_known():
    fake = FakeRanks(limit_s=5.0, stage=Stage.FIRST_STEP)
    fake.beats = {r: Beat(1, b.number + 3, Stage.STEP) for r, b in fake.beats.items()}
    fake.poll(1)
    assert fake.poll(1, times=29) is None
    assert "after step 1;" in fake.poll(1, times=2).reason


def test_a_slow_first_step_does_not_count_among_the_steps():
    fake = FakeRanks(limit_s=5.0, stage=Stage.FIRST_STEP)
    fake.poll(1, times=25)
    assert fake.steps(8).poll(1, times=9) is None
    assert fake.poll(1, times=2) is not None, "the limit is ten steps of one second"


def test_micro_batches_count_as_progress():
    fake = FakeRanks(stage=Stage.FIRST_STEP)
    for micro in range(10):
        fake.beats[0] = fake.beats[0]._replace(micro=micro)
        assert fake.poll(1, times=20) is None


def test_limits_come_from_the_environment_and_are_shorter_than_the_peer_timeout(monkeypatch):
    assert max(hang_detection.read_limits().values()) < hang_detection.PEER_TIMEOUT_S
    monkeypatch.setenv("FOURWALLS_FIRST_STEP_LIMIT_S", "7")
    assert hang_detection.read_limits()[Stage.FIRST_STEP] == 7.0


def test_time_in_which_the_supervisor_was_stopped_does_not_count():
    fake = FakeRanks().steps(20)
    assert fake.poll(10_000.0) is None


@pytest.fixture
def stopped():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.wait()


def test_a_rank_stopped_by_a_signal_is_the_one_that_lags(stopped):
    from fourwalls.system import procfs

    until(lambda: procfs.is_stopped(stopped.pid), "the stop")
    fake = FakeRanks().steps(20)
    ranks = (RANKS[0], RankExit(1, stopped.pid))
    hang = [fake.detector.detect(dict(fake.beats), 1, ranks) for _ in range(122)][-1]
    assert hang is not None
    assert (hang.rank, hang.is_certain) == (1, True)
    assert hang.reason.endswith("rank 1 is stopped by a signal")


def test_another_process_reads_the_written_heartbeat(tmp_path):
    assert heartbeat.read(tmp_path, 3) is None
    writer = Heartbeat(tmp_path, 3)
    assert heartbeat.read(tmp_path, 3) is None, "no beat yet"
    writer.beat(7)
    writer.beat(8, Stage.LONG)
    writer.beat_micro()
    assert heartbeat.read(tmp_path, 3) == Beat(8, 2, Stage.LONG, micro=1)
