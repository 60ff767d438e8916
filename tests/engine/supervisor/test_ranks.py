"""Start of ranks (environment, process group) and cleanup after their end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.directory import RankSeat
from engine.supervisor import cleanup, root_cause, state_writer
from engine.supervisor import supervise as supervisor
from engine.supervisor.spawn import rank_log_path, start_child
from fourwalls.system import procfs
from tests.engine.supervised import STEP_UNTIL_STOPPED, Supervised, until

WRITE_ENVIRONMENT = 'env > "$DIR/env$RANK"; cat > "$DIR/stdin$RANK"; exit 0'
SECRETS = {
    "DATABASE_URL": "postgres://u:p@h/d",
    "BROKER_URL": "redis://:p@h",
    "SECRET_KEY": "s",
    "FOURWALLS_TOKEN": "t",
    "AWS_SECRET_ACCESS_KEY": "a",
    "LD_PRELOAD": "",
}


def environment_of(run: Supervised, rank: int) -> dict[str, str]:
    lines = run.path(f"env{rank}").read_text().splitlines()
    return dict(line.partition("=")[::2] for line in lines)


@pytest.fixture
def other_attempt() -> Iterator[subprocess.Popen[bytes]]:
    """A process of another attempt, which differs only in the value of its tag."""
    process = subprocess.Popen(["sleep", "600"], env=os.environ | {"FOURWALLS_ATTEMPT": "/elsewhere/attempt"})
    yield process
    process.kill()
    process.wait()


def test_the_environment_of_ranks_has_their_position_and_no_secrets(tmp_path: Path) -> None:
    run = Supervised(tmp_path, WRITE_ENVIRONMENT, environment=SECRETS)
    assert run.start().end().state == "succeeded"
    first, second = environment_of(run, 0), environment_of(run, 1)
    assert (first["RANK"], second["RANK"], second["LOCAL_RANK"], second["WORLD_SIZE"]) == ("0", "1", "1", "2")
    assert (first["OMP_NUM_THREADS"], first["DS_ACCELERATOR"], first["CUDA_VISIBLE_DEVICES"]) == (
        "1",
        "cpu",
        "",
    )
    assert first["TORCHDYNAMO_DISABLE"] == "1" and first["TORCH_EXTENSIONS_DIR"].startswith(str(tmp_path))
    assert first["FOURWALLS_ATTEMPT"] == str(run.directory.path)
    assert "LOCAL_SIZE" not in first  # with it DeepSpeed leaves 66 MiB per rank in shared memory
    assert not SECRETS.keys() & (first.keys() | second.keys())


def test_ranks_on_gpus_have_all_devices_of_the_attempt_visible_in_local_order(tmp_path: Path) -> None:
    run = Supervised(tmp_path, WRITE_ENVIRONMENT, devices=("GPU-aa", "GPU-bb"), kind="cuda")
    run.start().end()
    assert {environment_of(run, r)["CUDA_VISIBLE_DEVICES"] for r in (0, 1)} == {"GPU-aa,GPU-bb"}
    assert environment_of(run, 0)["DS_ACCELERATOR"] == "cuda"
    names = {environment_of(run, 0)[f"{library}_SOCKET_IFNAME"] for library in ("GLOO", "NCCL")}
    assert names == {"lo"}, "without other nodes, ranks meet on loopback"


def test_all_ranks_have_the_same_free_port(tmp_path: Path) -> None:
    run = Supervised(tmp_path, WRITE_ENVIRONMENT)
    run.start().end()
    ports = {environment_of(run, r)["MASTER_PORT"] for r in (0, 1)}
    assert len(ports) == 1 and 1024 < int(ports.pop()) < 65536


def test_the_port_of_the_placement_is_used(tmp_path: Path) -> None:
    run = Supervised(tmp_path, WRITE_ENVIRONMENT, port=29531)
    run.start().end()
    assert {environment_of(run, r)["MASTER_PORT"] for r in (0, 1)} == {"29531"}


def test_a_rank_has_no_input_and_its_own_process_group(tmp_path: Path) -> None:
    run = Supervised(tmp_path, STEP_UNTIL_STOPPED).start().ready()
    assert [os.getpgid(pid) for pid in run.pids] == run.pids
    assert os.readlink(f"/proc/{run.pids[0]}/fd/0") == os.devnull
    run.directory.write_control("stop")
    run.end()


def test_strays_of_the_attempt_are_killed_and_no_others(
    tmp_path: Path, other_attempt: subprocess.Popen[bytes]
) -> None:
    script = 'setsid sleep 600 & echo $! > "$DIR/stray$RANK"; exit 0'
    run = Supervised(tmp_path, script)
    assert run.start().end().state == "succeeded"
    strays = [int(run.path(f"stray{r}").read_text()) for r in (0, 1)]
    assert [procfs.stat(pid) for pid in strays] == [None, None]
    assert other_attempt.poll() is None
    assert any("left running" in line.text for line in run.lines if line.k == "note")


def test_a_stray_of_an_earlier_supervisor_is_found_by_its_tag(other_attempt: subprocess.Popen[bytes]) -> None:
    # The process that runs the cleanup is not an ancestor of `tagged`.
    tagged = subprocess.Popen(["sleep", "600"], env=os.environ | {"FOURWALLS_ATTEMPT": "/this/attempt"})
    code = "from engine.supervisor import cleanup; print(cleanup.kill_strays('/this/attempt'))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert output.strip() == f"[{tagged.pid}]"
    assert tagged.wait(timeout=10) == -9
    assert other_attempt.poll() is None


def test_shared_memory_of_this_port_is_removed_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "SHARED_MEMORY", tmp_path)
    mine, other = (tmp_path / f"deepspeed_allreduce_buffer_0_127.0.0.1_{port}_0" for port in (29501, 129501))
    for path in (mine, other):
        path.touch()
    assert cleanup.remove_shared_memory(29501) == [mine.name]
    assert other.exists()


def test_a_spawn_function_may_fork_without_exec(tmp_path: Path) -> None:
    """As in the fork server: the rank is a fork of the supervisor with its output in its log."""
    run = Supervised(tmp_path, "exit 9")

    def supervise() -> None:
        def spawn(seat: RankSeat, environment: dict[str, str]) -> int:
            def body() -> None:
                os.write(1, f"{environment['RANK']} of {environment['WORLD_SIZE']}".encode())
                os._exit(0)

            return start_child(rank_log_path(run.directory, seat.rank), body)

        os._exit(supervisor.supervise(run.directory, spawn))

    pid = start_child(tmp_path / "supervisor.log", supervise)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert rank_log_path(run.directory, 1).read_text() == "1 of 2"
    assert run.state.state == "succeeded"


def test_a_log_above_the_limit_is_truncated_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOG_LIMIT_BYTES", 1000)
    monkeypatch.setattr(supervisor, "LOG_KEPT_BYTES", 100)
    run = Supervised(tmp_path, "", ranks=1)
    log = rank_log_path(run.directory, 0)
    with log.open("ab") as rank:
        rank.write(b"old\n" * 1000 + b"last words\n")
        rank.flush()
        processes = supervisor.RankProcesses()
        processes.ranks = {0: None}  # type: ignore[dict-item]
        supervisor._truncate_logs(run.directory, processes, state_writer.StateWriter(run.directory))
        rank.write(b"still here\n")
    text = log.read_text()
    assert len(text) < 300 and text.startswith("[log truncated") and text.endswith("last words\nstill here\n")


def test_the_terminal_state_is_retried_while_the_disk_is_full(tmp_path: Path) -> None:
    run = Supervised(tmp_path, "", ranks=1)
    waits: list[float] = []
    states: list[str] = []

    class FullDisk(type(run.directory)):  # type: ignore[misc]
        def write_state(self, state: object) -> None:
            if len(waits) < 3:
                raise OSError(28, "No space left on device")
            states.append(state.state)  # type: ignore[attr-defined]

    writer = state_writer.StateWriter(FullDisk(run.directory.path), sleep=waits.append)
    writer.end("succeeded", "every rank finished", "done")
    assert (len(waits), states) == (3, ["succeeded"])


def test_the_supervisor_imports_neither_torch_nor_django() -> None:
    code = (
        "import sys, engine.supervisor.supervise; "
        "print([m for m in ('torch', 'deepspeed', 'django', 'celery') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert output.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "[rank1]: torch.distributed.DistBackendError: NCCL error in: x",
            "torch.distributed.DistBackendError: NCCL error in: x",
        ),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        (
            "engine.spec.spec.SpecError: model.heads: 3 heads",
            "engine.spec.spec.SpecError: model.heads: 3 heads",
        ),
        ("  File 'x.py', line 3, in f", ""),
        ("[2026-01-01] [INFO] Error rate 0", ""),
    ],
)
def test_the_exception_line_is_found(line: str, expected: str) -> None:
    assert (
        root_cause.last_exception(("Traceback (most recent call last):", line, "trailing chatter"))
        == expected
    )


def test_a_native_abort_after_a_lost_connection_is_not_the_root_cause() -> None:
    unexpected_exits = [root_cause.UnexpectedExit(0, -6, 1.0), root_cause.UnexpectedExit(1, 1, 1.2)]
    tails = {
        0: ("what(): [gloo/transport/tcp/pair.cc:525] Read error: Connection reset by peer",),
        1: ("MemoryError",),
    }
    assert root_cause.find_root_cause(unexpected_exits, tails).rank == 1


def test_the_root_cause_of_lost_connections_alone_is_the_earliest_exit(tmp_path: Path) -> None:
    now = time.monotonic()
    unexpected_exits = [root_cause.UnexpectedExit(1, 1, now), root_cause.UnexpectedExit(0, 1, now + 1)]
    tails = dict.fromkeys((0, 1), ("RuntimeError: Connection closed by peer",))
    assert root_cause.find_root_cause(unexpected_exits, tails).rank == 1
    until(lambda: root_cause.read_tail(tmp_path / "no such log") == ())
