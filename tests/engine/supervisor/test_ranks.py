"""What a rank is given at its start, and what of it is cleared away after its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import procfs
from engine.directory import Seat
from engine.supervisor import cleanup, report, root_cause
from engine.supervisor import supervise as supervisor
from engine.supervisor.spawn import rank_log, start_child
from tests.engine.supervised import STEP_UNTIL_TOLD, Supervised, until

TELL = 'env > "$DIR/env$RANK"; cat > "$DIR/stdin$RANK"; exit 0'
SECRETS = {
    "DATABASE_URL": "postgres://u:p@h/d",
    "BROKER_URL": "redis://:p@h",
    "SECRET_KEY": "s",
    "FOURWALLS_TOKEN": "t",
    "AWS_SECRET_ACCESS_KEY": "a",
    "LD_PRELOAD": "",
}


def told(run: Supervised, rank: int) -> dict[str, str]:
    lines = run.path(f"env{rank}").read_text().splitlines()
    return dict(line.partition("=")[::2] for line in lines)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of another attempt, alike in everything but the value of its tag."""
    process = subprocess.Popen(["sleep", "600"], env=os.environ | {"FOURWALLS_ATTEMPT": "/elsewhere/attempt"})
    yield process
    process.kill()
    process.wait()


def test_ranks_are_told_their_places_and_no_secrets(tmp_path: Path) -> None:
    run = Supervised(tmp_path, TELL, environment=SECRETS)
    assert run.start().end().state == "succeeded"
    first, second = told(run, 0), told(run, 1)
    assert (first["RANK"], second["RANK"], second["LOCAL_RANK"], second["WORLD_SIZE"]) == ("0", "1", "1", "2")
    assert (first["OMP_NUM_THREADS"], first["DS_ACCELERATOR"], first["CUDA_VISIBLE_DEVICES"]) == (
        "1",
        "cpu",
        "",
    )
    assert first["TORCHDYNAMO_DISABLE"] == "1" and first["TORCH_EXTENSIONS_DIR"].startswith(str(tmp_path))
    assert first["FOURWALLS_ATTEMPT"] == str(run.directory.path)
    assert "LOCAL_SIZE" not in first  # it would make DeepSpeed leave 66 MiB a rank in shared memory
    assert not SECRETS.keys() & (first.keys() | second.keys())


def test_ranks_on_gpus_see_all_devices_of_the_attempt_in_local_order(tmp_path: Path) -> None:
    run = Supervised(tmp_path, TELL, devices=("GPU-aa", "GPU-bb"), kind="cuda")
    run.start().end()
    assert {told(run, r)["CUDA_VISIBLE_DEVICES"] for r in (0, 1)} == {"GPU-aa,GPU-bb"}
    assert told(run, 0)["DS_ACCELERATOR"] == "cuda"


def test_a_free_port_is_chosen_and_is_the_same_for_all(tmp_path: Path) -> None:
    run = Supervised(tmp_path, TELL)
    run.start().end()
    ports = {told(run, r)["MASTER_PORT"] for r in (0, 1)}
    assert len(ports) == 1 and 1024 < int(ports.pop()) < 65536


def test_a_port_that_the_placement_names_is_kept(tmp_path: Path) -> None:
    run = Supervised(tmp_path, TELL, port=29531)
    run.start().end()
    assert {told(run, r)["MASTER_PORT"] for r in (0, 1)} == {"29531"}


def test_a_rank_has_no_input_and_a_process_group_of_its_own(tmp_path: Path) -> None:
    run = Supervised(tmp_path, STEP_UNTIL_TOLD).start().ready()
    assert [os.getpgid(pid) for pid in run.pids] == run.pids
    assert os.readlink(f"/proc/{run.pids[0]}/fd/0") == os.devnull
    run.directory.write_control("stop")
    run.end()


def test_strays_of_the_attempt_are_killed_and_no_others(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    script = 'setsid sleep 600 & echo $! > "$DIR/stray$RANK"; exit 0'
    run = Supervised(tmp_path, script)
    assert run.start().end().state == "succeeded"
    strays = [int(run.path(f"stray{r}").read_text()) for r in (0, 1)]
    assert [procfs.stat(pid) for pid in strays] == [None, None]
    assert bystander.poll() is None
    assert any("left behind" in line.text for line in run.lines if line.k == "note")


def test_a_stray_of_an_earlier_supervisor_is_known_by_its_tag(bystander: subprocess.Popen[bytes]) -> None:
    # `tagged` is found by its environment alone in a process that is not its ancestor.
    tagged = subprocess.Popen(["sleep", "600"], env=os.environ | {"FOURWALLS_ATTEMPT": "/this/attempt"})
    code = "from engine.supervisor import cleanup; print(cleanup.kill_strays('/this/attempt'))"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert said.strip() == f"[{tagged.pid}]"
    assert tagged.wait(timeout=10) == -9
    assert bystander.poll() is None


def test_shared_memory_of_this_port_is_removed_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "SHARED_MEMORY", tmp_path)
    mine, other = (tmp_path / f"deepspeed_allreduce_buffer_0_127.0.0.1_{port}_0" for port in (29501, 129501))
    for path in (mine, other):
        path.touch()
    assert cleanup.remove_shared_memory(29501) == [mine.name]
    assert other.exists()


def test_a_fork_without_exec_serves_as_spawn_too(tmp_path: Path) -> None:
    """As a pre-forked parent does it: the rank is a copy of the supervisor's process, output in its log."""
    run = Supervised(tmp_path, "exit 9")

    def supervise() -> None:
        def spawn(seat: Seat, environment: dict[str, str]) -> int:
            def body() -> None:
                os.write(1, f"{environment['RANK']} of {environment['WORLD_SIZE']}".encode())
                os._exit(0)

            return start_child(rank_log(run.directory, seat.rank), body)

        os._exit(supervisor.supervise(run.directory, spawn))

    pid = start_child(tmp_path / "supervisor.log", supervise)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert rank_log(run.directory, 1).read_text() == "1 of 2"
    assert run.state.state == "succeeded"


def test_a_log_that_grows_without_end_is_cut_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOG_LIMIT_BYTES", 1000)
    monkeypatch.setattr(supervisor, "LOG_KEPT_BYTES", 100)
    run = Supervised(tmp_path, "", ranks=1)
    log = rank_log(run.directory, 0)
    with log.open("ab") as rank:
        rank.write(b"old\n" * 1000 + b"last words\n")
        rank.flush()
        gang = supervisor.Gang()
        gang.ranks = {0: None}  # type: ignore[dict-item]
        supervisor._cut_logs(run.directory, gang, report.Report(run.directory))
        rank.write(b"still here\n")
    text = log.read_text()
    assert len(text) < 300 and text.startswith("[the log grew") and text.endswith("last words\nstill here\n")


def test_a_terminal_state_is_tried_again_while_the_disk_is_full(tmp_path: Path) -> None:
    run = Supervised(tmp_path, "", ranks=1)
    waits: list[float] = []
    states: list[str] = []

    class FullDisk(type(run.directory)):  # type: ignore[misc]
        def write_state(self, state: object) -> None:
            if len(waits) < 3:
                raise OSError(28, "No space left on device")
            states.append(state.state)  # type: ignore[attr-defined]

    told = report.Report(FullDisk(run.directory.path), sleep=waits.append)
    told.end("succeeded", "every rank finished", "done")
    assert (len(waits), states) == (3, ["succeeded"])


def test_the_supervisor_imports_neither_torch_nor_django() -> None:
    code = (
        "import sys, engine.supervisor.supervise; "
        "print([m for m in ('torch', 'deepspeed', 'django', 'celery') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert said.strip() == "[]"


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


def test_a_native_abort_over_a_lost_peer_is_no_culprit() -> None:
    deaths = [root_cause.Death(0, -6, 1.0), root_cause.Death(1, 1, 1.2)]
    tails = {
        0: ("what(): [gloo/transport/tcp/pair.cc:525] Read error: Connection reset by peer",),
        1: ("MemoryError",),
    }
    assert root_cause.culprit(deaths, tails).rank == 1


def test_a_lost_connection_alone_is_blamed_on_the_earliest(tmp_path: Path) -> None:
    now = time.monotonic()
    deaths = [root_cause.Death(1, 1, now), root_cause.Death(0, 1, now + 1)]
    tails = dict.fromkeys((0, 1), ("RuntimeError: Connection closed by peer",))
    assert root_cause.culprit(deaths, tails).rank == 1
    until(lambda: root_cause.tail_of(tmp_path / "no such log") == ())
