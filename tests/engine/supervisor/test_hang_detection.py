"""When ranks count as hung, and which of them lags: told from heartbeats alone, by a clock of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.directory import RankExit
from engine.supervisor import hang_detection
from engine.supervisor.hang_detection import Hang, Watch
from engine.telemetry import heartbeat
from engine.telemetry.heartbeat import Beat, Heartbeat, Stage
from tests.engine.supervised import until

RANKS = (RankExit(0, os.getpid()), RankExit(1, os.getpid()))


class Gang:
    """Two ranks that beat three times a step, watched once a second."""

    def __init__(self, limit_s: float = 120.0, stage: Stage = Stage.STEP) -> None:
        limits = {Stage.BUILD: 40.0, Stage.FIRST_STEP: 30.0, Stage.STEP: limit_s, Stage.LONG: 150.0}
        self.watch = Watch(Path("/nowhere"), limits)
        self.beats = {0: Beat(0, 1, stage), 1: Beat(0, 1, stage)}
        self.look(1)

    def steps(self, count: int, seconds: float = 1.0) -> Gang:
        for _ in range(count):
            self.beats = {r: Beat(b.step + 1, b.number + 3, Stage.STEP) for r, b in self.beats.items()}
            hang = self.look(seconds)
        assert hang is None
        return self

    def look(self, seconds: float, times: int = 1) -> Hang | None:
        return [self.watch.judge(dict(self.beats), seconds, RANKS) for _ in range(times)][-1]


def test_a_gang_that_steps_is_never_hung():
    Gang(limit_s=2.0).steps(50)


def test_no_beat_for_the_limit_is_a_hang_and_says_since_which_step():
    gang = Gang().steps(20)
    assert gang.look(1, times=119) is None
    hang = gang.look(1, times=2)
    assert hang is not None
    assert hang.reason == (
        "hung: no progress for 121 s after step 20 (a step takes 1 s); no rank is behind the others"
    )
    assert not hang.is_sure


def test_slow_steps_get_ten_times_their_median():
    gang = Gang().steps(5, seconds=5.0)
    for _ in range(4):  # steps of 25 s
        gang.look(5, times=4)
        gang.steps(1, seconds=5.0)
    gang = Gang(limit_s=1.0).steps(10, seconds=4.0)
    assert gang.look(1, times=40) is None
    assert gang.look(1, times=2) is not None


def test_the_rank_with_fewer_beats_is_the_one_that_lags():
    gang = Gang().steps(20)
    gang.beats[0] = Beat(20, gang.beats[0].number + 2, Stage.STEP)
    gang.beats[1] = Beat(20, gang.beats[1].number + 1, Stage.STEP)
    gang.look(1)
    hang = gang.look(1, times=121)
    assert hang is not None
    assert (hang.rank, hang.is_sure) == (1, True)
    assert hang.reason.endswith("rank 1 lags behind the others")


def test_one_rank_that_goes_on_shows_that_the_gang_does():
    gang = Gang(limit_s=5.0).steps(20)
    for _ in range(30):
        gang.beats[0] = Beat(20, gang.beats[0].number + 1, Stage.STEP)
        assert gang.look(1) is None


def test_preparing_the_data_may_take_any_time_and_so_may_imports():
    assert Gang(stage=Stage.DATA).look(1, times=10_000) is None
    assert Watch(Path("/nowhere")).judge({0: None, 1: None}, 10_000.0, RANKS) is None


@pytest.mark.parametrize(
    ("stage", "limit_s", "where"),
    [
        (Stage.BUILD, 40, "while meeting the others and building the engine"),
        (Stage.FIRST_STEP, 30, "in the first step"),
        (Stage.LONG, 150, "while saving, loading or validating"),
    ],
)
def test_what_comes_before_the_steps_and_between_them_has_limits_of_its_own(stage, limit_s, where):
    gang = Gang(stage=stage)
    assert gang.look(1, times=limit_s - 1) is None
    hang = gang.look(1, times=2)
    assert hang is not None
    assert hang.reason.startswith(f"hung: no progress for {limit_s + 1} s {where};")


def test_until_it_is_known_how_long_a_step_takes_the_limit_is_that_of_the_first():
    gang = Gang(limit_s=5.0, stage=Stage.FIRST_STEP)
    gang.beats = {r: Beat(1, b.number + 3, Stage.STEP) for r, b in gang.beats.items()}
    gang.look(1)
    assert gang.look(1, times=29) is None
    assert "after step 1;" in gang.look(1, times=2).reason


def test_a_slow_first_step_does_not_count_among_the_steps():
    gang = Gang(limit_s=5.0, stage=Stage.FIRST_STEP)
    gang.look(1, times=25)
    assert gang.steps(8).look(1, times=9) is None
    assert gang.look(1, times=2) is not None, "ten steps of a second"


def test_a_step_of_many_micro_batches_is_not_quiet():
    gang = Gang(stage=Stage.FIRST_STEP)
    for micro in range(10):
        gang.beats[0] = gang.beats[0]._replace(micro=micro)
        assert gang.look(1, times=20) is None


def test_limits_come_from_the_environment_and_ranks_wait_longer_for_each_other(monkeypatch):
    assert max(hang_detection.limits().values()) < hang_detection.PEER_TIMEOUT_S
    monkeypatch.setenv("FOURWALLS_FIRST_STEP_LIMIT_S", "7")
    assert hang_detection.limits()[Stage.FIRST_STEP] == 7.0


def test_time_in_which_the_watcher_itself_stood_still_does_not_count():
    gang = Gang().steps(20)
    assert gang.look(10_000.0) is None


@pytest.fixture
def stopped():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.wait()


def test_a_rank_that_a_signal_stopped_is_the_one_that_lags(stopped):
    from engine import procfs

    until(lambda: procfs.is_stopped(stopped.pid), "the stop")
    gang = Gang().steps(20)
    ranks = (RANKS[0], RankExit(1, stopped.pid))
    hang = [gang.watch.judge(dict(gang.beats), 1, ranks) for _ in range(122)][-1]
    assert hang is not None
    assert (hang.rank, hang.is_sure) == (1, True)
    assert hang.reason.endswith("rank 1 is stopped by a signal")


def test_a_heartbeat_is_read_by_another_process_as_it_was_written(tmp_path):
    assert heartbeat.read(tmp_path, 3) is None
    writer = Heartbeat(tmp_path, 3)
    assert heartbeat.read(tmp_path, 3) is None, "no beat yet"
    writer.beat(7)
    writer.beat(8, Stage.LONG)
    writer.beat_micro()
    assert heartbeat.read(tmp_path, 3) == Beat(8, 2, Stage.LONG, micro=1)
