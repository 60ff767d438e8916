"""Ends of an attempt by ranks, agent or supervisor, with state and reason."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fourwalls.system import procfs
from tests.engine.supervised import STEP_UNTIL_STOPPED, Supervised, until

pytestmark = pytest.mark.slow

Attempt = Callable[..., Supervised]


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Attempt]:
    made: list[Supervised] = []

    def make(script: str, **options: object) -> Supervised:
        made.append(Supervised(tmp_path, script, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.kill()


def test_an_attempt_succeeds_when_every_rank_ends_with_zero(attempt: Attempt) -> None:
    run = attempt("echo rank $RANK of $WORLD_SIZE; exit 0").start()
    state = run.end()
    assert (state.state, run.process.returncode) == ("succeeded", 0)
    assert [rank.exit_code for rank in state.ranks] == [0, 0]
    assert (run.directory.log / "rank1.log").read_text() == "rank 1 of 2\n"
    assert state.ended_at and state.reason


def test_the_starting_phase_is_reported_once(attempt: Attempt) -> None:
    run = attempt("exit 0").start()
    run.end()
    phases = [line for line in run.lines if line.k == "phase"]
    assert [(line.text, line.source) for line in phases] == [("starting", "run")]
    assert 0 < phases[0].seconds < 60


def test_a_failing_rank_ends_the_others_and_its_exception_is_the_reason(attempt: Attempt) -> None:
    run = attempt(
        'if [ $RANK = 1 ]; then echo "Traceback"; echo "[rank1]: ValueError: the corpus is empty" >&2; exit 3; fi\n'
        + STEP_UNTIL_STOPPED
    ).start()
    state = run.end()
    assert state.state == "failed" and run.process.returncode == 1
    assert state.reason == "rank 1 ended with exit code 3: ValueError: the corpus is empty"
    assert state.stderr_tail == ("Traceback", "[rank1]: ValueError: the corpus is empty")
    assert run.are_gone()


def test_the_tail_has_the_last_forty_lines(attempt: Attempt) -> None:
    state = attempt("seq 1 100; exit 1", ranks=1).start().end()
    assert state.stderr_tail == tuple(str(n) for n in range(61, 101))
    assert state.reason == "rank 0 ended with exit code 1"


def test_a_rank_killed_by_hand_is_named_with_its_signal(attempt: Attempt) -> None:
    run = attempt(STEP_UNTIL_STOPPED).start().ready()
    os.kill(run.pids[1], signal.SIGKILL)
    state = run.end()
    assert state.reason.startswith("rank 1 was killed by SIGKILL (") and "by hand" in state.reason
    assert state.cause == "workload"
    assert (state.state, run.are_gone()) == ("failed", True)


def test_a_rank_that_only_lost_its_peer_is_not_the_root_cause_even_if_it_ends_first(attempt: Attempt) -> None:
    state = (
        attempt(
            'if [ $RANK = 0 ]; then echo "RuntimeError: Connection closed by peer [127.0.0.1]:1" >&2; exit 1; fi\n'
            'sleep 0.15; echo "torch.OutOfMemoryError: no memory left" >&2; exit 1'
        )
        .start()
        .end()
    )
    assert state.reason == "rank 1 ended with exit code 1: torch.OutOfMemoryError: no memory left"


def test_a_killed_rank_is_the_root_cause_even_if_a_peer_ended_first(attempt: Attempt) -> None:
    state = (
        attempt("[ $RANK = 0 ] && { echo 'RuntimeError: odd'; exit 1; }; sleep 0.15; kill -9 $$")
        .start()
        .end()
    )
    assert state.reason.startswith("rank 1 was killed by SIGKILL")


def test_a_rank_that_ignores_sigterm_is_killed_when_its_peer_fails(attempt: Attempt) -> None:
    state = attempt('[ $RANK = 1 ] && exit 1; trap "" TERM; while :; do sleep 0.05; done').start().end()
    assert state.reason == "rank 1 ended with exit code 1"
    assert state.ranks[0].exit_code == -signal.SIGKILL


def test_a_stop_lets_ranks_reach_a_step_boundary(attempt: Attempt) -> None:
    run = attempt(STEP_UNTIL_STOPPED).start().ready()
    run.directory.write_control("stop")
    state = run.end()
    assert (state.state, run.process.returncode) == ("stopped", 75)
    assert [rank.exit_code for rank in state.ranks] == [75, 75]
    assert state.reason == "stopped on request"


def test_sigterm_to_the_supervisor_is_a_stop(attempt: Attempt) -> None:
    run = attempt(STEP_UNTIL_STOPPED).start().ready()
    run.process.terminate()
    state = run.end()
    assert (state.state, [rank.exit_code for rank in state.ranks]) == ("stopped", [75, 75])
    assert "SIGTERM" in state.reason


def test_ranks_that_reach_no_step_boundary_are_killed_after_the_grace_period(attempt: Attempt) -> None:
    run = attempt(
        'trap "" TERM; touch "$DIR/ready$RANK"; while :; do sleep 0.05; done',
        environment={"FOURWALLS_STOP_GRACE_S": "0.2"},
    )
    run.start().ready().directory.write_control("stop")
    state = run.end()
    assert state.state == "stopped" and "killed" in state.reason
    assert [rank.exit_code for rank in state.ranks] == [-signal.SIGKILL] * 2


def test_a_rank_that_is_stopped_during_its_imports_is_not_a_failure(attempt: Attempt) -> None:
    run = attempt(
        'touch "$DIR/ready$RANK"; [ $RANK = 0 ] && while :; do sleep 0.05; done\n'
        'trap "echo RuntimeError: Connection reset by peer; exit 1" TERM; while :; do sleep 0.02; done'
    )
    run.start().ready().directory.write_control("stop")
    state = run.end()
    assert (state.state, state.reason) == ("stopped", "stopped on request")


def test_a_checkpoint_that_fails_during_a_stop_is_a_failure(attempt: Attempt) -> None:
    run = attempt(
        'trap "echo OSError: No space left on device; exit 1" TERM\n'
        'touch "$DIR/ready$RANK"; while :; do sleep 0.02; done'
    )
    run.start().ready().directory.write_control("stop")
    state = run.end()
    assert state.state == "failed" and "OSError: No space left" in state.reason


def test_a_stop_before_the_start_starts_nothing(attempt: Attempt) -> None:
    run = attempt('touch "$DIR/ready$RANK"')
    run.directory.write_control("stop")
    state = run.start().end()
    assert (state.state, state.ranks) == ("stopped", ())
    assert not run.path("ready0").exists()


def test_an_expired_lease_ends_the_run_at_a_step_boundary(attempt: Attempt) -> None:
    state = attempt(STEP_UNTIL_STOPPED, lease_s=2).start().ready().end()
    assert (state.state, state.reason) == ("stopped", "the agent did not renew its lease")
    assert state.cause == "agent_silent"
    assert [rank.exit_code for rank in state.ranks] == [75, 75]


def test_ranks_that_stop_by_themselves_are_stopped_not_failed(attempt: Attempt) -> None:
    state = attempt("exit 75").start().end()
    assert state.state == "stopped" and "by themselves" in state.reason


def test_the_result_line_of_a_run_is_the_reason_of_its_end(attempt: Attempt) -> None:
    line = r'{"k":"result","at":%s,"source":"run","v":1,"step":7,"text":"The time limit was reached."}\n'
    script = f"""[ $RANK = 0 ] && printf '{line}' $(date +%s.%N) >> "$DIR/spool/rank0.jsonl"; exit 77"""
    state = attempt(script).start().end()
    assert (state.state, state.reason, state.cause) == (
        "stopped",
        "The time limit was reached.",
        "time_limit",
    )


def test_ranks_die_with_a_killed_supervisor(attempt: Attempt) -> None:
    run = attempt(STEP_UNTIL_STOPPED).start().ready()
    run.process.kill()
    run.process.wait()
    until(run.are_gone, "the end of the ranks")
    assert run.state.state == "running"  # no process is left to change it
    assert not procfs.is_alive(run.state.pid, run.state.pid_started)


def test_the_reason_names_a_missing_interpreter(attempt: Attempt) -> None:
    run = attempt("exit 0")
    run.trainer.unlink()
    state = run.start().end()
    assert state.state == "failed" and "FileNotFoundError" in state.reason
    assert str(run.trainer) in state.reason


def test_an_invalid_placement_ends_with_a_terminal_state_and_a_reason(attempt: Attempt) -> None:
    run = attempt("exit 0")
    run.path("placement.json").write_text("{")
    state = run.start().end()
    assert state.state == "failed" and state.reason.startswith("the supervisor failed")


def test_an_attempt_is_never_started_twice(attempt: Attempt) -> None:
    run = attempt(STEP_UNTIL_STOPPED).start().ready()
    before = run.pids
    first, second = run.process, run.start().process
    assert second.wait(timeout=60) == 1
    assert run.state.pid == first.pid and run.pids == before and not run.are_gone()
    run.directory.write_control("stop")
    assert first.wait(timeout=60) == 75
    third = run.start().process
    assert third.wait(timeout=60) == 1
    assert (run.state.pid, run.state.state) == (first.pid, "stopped")


def test_a_stop_during_the_start_is_not_lost(attempt: Attempt) -> None:
    run = attempt(
        'trap "exit 75" TERM; while :; do sleep 0.02; done', environment={"FOURWALLS_STOP_GRACE_S": "50"}
    )
    run.start()
    until(lambda: run.path("state.json").exists() and run.state.ranks, "the first rank")
    run.process.terminate()
    assert run.end().state == "stopped" and "killed" not in run.state.reason


def test_a_setting_that_is_not_a_number_fails_at_the_start_and_not_at_the_stop(attempt: Attempt) -> None:
    run = attempt('touch "$DIR/ready$RANK"', environment={"FOURWALLS_STOP_GRACE_S": "a minute"})
    state = run.start().end()
    assert state.state == "failed" and "a minute" in state.reason
    assert not run.path("ready0").exists()


def test_the_state_has_the_supervisors_pid_and_is_refreshed(attempt: Attempt) -> None:
    run = attempt(STEP_UNTIL_STOPPED).start().ready()
    first = run.state
    assert first.pid == run.process.pid and procfs.is_alive(first.pid, first.pid_started)
    until(lambda: run.state.updated_at > first.updated_at, "a newer state")
    assert run.state.state == "running"


def test_a_state_that_cannot_be_written_ends_no_rank(attempt: Attempt) -> None:
    run = attempt(STEP_UNTIL_STOPPED).start().ready()
    blocked = run.path("state.json")
    blocked.unlink()
    blocked.mkdir()
    (blocked / "in-the-way").touch()  # a rename onto it fails, as on a full disk
    pid = procfs.descendants(run.process.pid)[0]
    half_written = run.path(f".state.json.{run.process.pid}")
    until(half_written.exists, "a beat that failed")
    assert procfs.stat(pid) is not None
    (blocked / "in-the-way").unlink()
    blocked.rmdir()
    until(blocked.exists, "the next beat")
    run.directory.write_control("stop")
    assert run.end().state == "stopped"
