"""Supervision of the ranks of one attempt on one node.

`python -m engine.supervisor DIR` starts each rank as a new interpreter. The fork server calls `supervise` in a forked
child with a `spawn` that forks. In both cases the process must be single-threaded (PR_SET_PDEATHSIG is tied to the
thread that forks) and have no other children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.directory import EXIT_LATE, EXIT_STOPPED, AttemptDirectory, AttemptState, Cause, Placement
from engine.supervisor import hang_detection
from engine.supervisor.cleanup import kill_strays, remove_shared_memory
from engine.supervisor.environment import ROOT, filter_environment, free_port, rank_environment
from engine.supervisor.hang_detection import Hang
from engine.supervisor.locks import DeviceHeld, lock_devices, lock_folder, release
from engine.supervisor.oom_kills import OomWatch
from engine.supervisor.prepare import wait_for_commit
from engine.supervisor.rank_processes import RankProcesses
from engine.supervisor.root_cause import describe_failure, find_root_cause, is_secondary_failure, read_tail
from engine.supervisor.spawn import Spawn, become_subreaper, rank_log_path
from engine.supervisor.state_writer import StateWriter, last_result_text

POLL_S = 0.05
LOCK_WAIT_S = 3.0
LOCK_WAIT_NOTE_S = 0.05
ABORT_GRACE_S = 0.5  # ranks of an aborted attempt reach no step boundary, so there is nothing to wait for
PEER_EXIT_S = (
    0.3  # time for the peers of a failed rank to exit by themselves, which helps to find the root cause
)
KILL_AFTER_S = 2.0
LOG_LIMIT_BYTES = 64 * 1024**2
LOG_KEPT_BYTES = 1024**2

LEASE_EXPIRED = "the agent did not renew its lease"

EXIT_CODES: dict[AttemptState, int] = {"succeeded": 0, "stopped": EXIT_STOPPED, "failed": 1}


@dataclass(frozen=True)
class AttemptEnd:
    """Terminal state of an attempt on this node, with its reason."""

    state: AttemptState
    reason: str
    cause: Cause
    stderr_tail: tuple[str, ...] = ()
    is_secondary_failure: bool = False


class StopSignal:
    """Reason to stop the ranks: a signal, the control file, or an expired lease."""

    def __init__(self, directory: AttemptDirectory) -> None:
        self._directory = directory
        self._signal: int | None = None
        self._lease: float | None = None
        self._lease_deadline = float("inf")
        self._grace_s = float(os.environ.get("FOURWALLS_STOP_GRACE_S", "60"))  # from the request to the kill
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def reason(self) -> str:
        """Return why the ranks should stop, empty while they should continue."""
        if self._signal:
            return f"the supervisor received {signal.Signals(self._signal).name}"
        control = self._directory.read_control()
        if control == "abort":
            self._grace_s = min(self._grace_s, ABORT_GRACE_S)
            return "aborted because the attempt has ended on another node"
        if control == "stop":
            return "stopped on request"
        return LEASE_EXPIRED if self._has_lease_expired() else ""

    @property
    def grace_s(self) -> float:
        """Seconds from the request to stop until the ranks are killed."""
        return self._grace_s

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = number

    def _has_lease_expired(self) -> bool:
        """Whether the lease has expired, by the monotonic clock since the lease was first read.

        So a clock set forward, or a laptop that slept, does not end a run whose agent is alive.
        """
        lease = self._directory.read_lease()
        if lease is not None and lease != self._lease:
            self._lease = lease
            self._lease_deadline = time.monotonic() + lease - time.time()
        return time.monotonic() > self._lease_deadline


def supervise(directory: AttemptDirectory, spawn: Spawn) -> int:
    """Run one attempt to its end; return 0 for succeeded, 75 for stopped, 1 for failed. state.json has the reason.

    An attempt is started once: if it has or had a supervisor, this writes nothing and returns 1.
    """
    lock = lock_folder(directory.path)
    if lock is None or directory.read_state() is not None:
        sys.stderr.write(f"{directory.path} was already started. Use a new folder for a new attempt.\n")
        return EXIT_CODES["failed"]
    become_subreaper()
    writer = StateWriter(directory)
    try:
        end = _run(directory, spawn, StopSignal(directory), writer)
    except BaseException as error:
        writer.end("failed", f"the supervisor failed: {type(error).__name__}: {error}", "supervisor")
        raise
    writer.end(end.state, end.reason, end.cause, end.stderr_tail, end.is_secondary_failure)
    return EXIT_CODES[end.state]


def start_cold(directory: AttemptDirectory) -> subprocess.Popen[bytes]:
    """Start a supervisor in a new session, so that it outlives the caller. It writes to log/supervisor.log."""
    settings = ("TRAINER_PYTHON", "FOURWALLS_STOP_GRACE_S", *hang_detection.SETTINGS)
    environment = filter_environment(os.environ) | {
        name: os.environ[name] for name in settings if name in os.environ
    }
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH", ""))))
    with (directory.log / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "engine.supervisor", str(directory.path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip


def _run(
    directory: AttemptDirectory, spawn: Spawn, stop_signal: StopSignal, writer: StateWriter
) -> AttemptEnd:
    """Lock the devices, run the ranks, clean up and unlock, so that devices are free before the terminal state."""
    placement, began = directory.read_placement(), time.monotonic()
    try:
        locks = lock_devices(Path(placement.lock_dir), (seat.device for seat in placement.seats), LOCK_WAIT_S)
    except DeviceHeld as error:
        return AttemptEnd("failed", str(error), "device_held")
    if (waited_s := time.monotonic() - began) > LOCK_WAIT_NOTE_S:
        writer.note(f"Waited {waited_s:.1f} s for devices that an earlier attempt still held.")
    processes, tag, oom = RankProcesses(), str(directory.path.resolve()), OomWatch()
    try:
        if directory.read_control() == "prepare":
            placement = wait_for_commit(directory, placement, stop_signal.reason, writer.set_prepared)
        elif not placement.master_port:
            placement = msgspec.structs.replace(placement, master_port=free_port(placement.master_addr))
        if reason := stop_signal.reason():
            return AttemptEnd(
                "stopped", f"{reason}, before the ranks were started", _cause_from_reason(reason)
            )
        processes.start(placement, spawn, lambda seat: rank_environment(tag, placement, seat))
        oom.update(processes.alive)
        writer.update_ranks(processes.exits)
        writer.set_running()
        stop_reason, hang = _wait_for_ranks(directory, processes, stop_signal, writer, oom)
        if hang:
            return _end_from_hang(directory, hang, placement)
        return _end_from_exits(directory, processes, writer, stop_reason, oom)
    finally:
        _clean_up(tag, placement, writer)
        release(locks)


def _wait_for_ranks(
    directory: AttemptDirectory, processes: RankProcesses, stop_signal: StopSignal, writer: StateWriter,
    oom: OomWatch,
) -> tuple[str, Hang | None]:  # fmt: skip
    """Wait until every rank has ended; return why they were asked to stop (empty if not) and the hang, if any."""
    stop_reason, terminate_at, kill_at = "", float("inf"), float("inf")
    detector, hang = hang_detection.HangDetector(directory.path), None
    while processes.alive:
        time.sleep(POLL_S)
        now = time.monotonic()
        processes.reap()
        if processes.is_broken:
            terminate_at = min(terminate_at, now + PEER_EXIT_S)
            kill_at = min(kill_at, now + PEER_EXIT_S + KILL_AFTER_S)
        elif reason := stop_signal.reason():
            if not stop_reason:
                writer.note(f"Ranks are asked to stop at a step boundary: {reason}.")
            stop_reason = stop_reason or reason
            terminate_at, kill_at = min(terminate_at, now), min(kill_at, now + stop_signal.grace_s)
        elif not hang and (hang := detector.poll(processes.alive)):
            writer.note(f"{hang.reason}. The stacks of all ranks are in their logs.", "error")
            hang_detection.request_stacks(processes.alive)
            terminate_at, kill_at = now, now + KILL_AFTER_S
        if now >= kill_at:
            processes.kill()
        elif now >= terminate_at:
            processes.terminate()
        writer.update_ranks(processes.exits)
        if writer.refresh():
            oom.update(processes.alive)
            _truncate_logs(directory, processes, writer)
    return stop_reason, hang


def _end_from_hang(directory: AttemptDirectory, hang: Hang, placement: Placement) -> AttemptEnd:
    is_secondary = placement.has_other_nodes and not hang.is_certain
    tail = read_tail(rank_log_path(directory, hang.rank))
    return AttemptEnd("failed", hang.reason, "hung", tail, is_secondary)


def _end_from_exits(
    directory: AttemptDirectory,
    processes: RankProcesses,
    writer: StateWriter,
    stop_reason: str,
    oom: OomWatch,
) -> AttemptEnd:
    if processes.exit_codes == {0}:
        result = last_result_text(directory, writer.state.started_at)
        return AttemptEnd("succeeded", result or "every rank finished", "done")
    exits = processes.unexpected_exits
    tails = {one.rank: read_tail(rank_log_path(directory, one.rank)) for one in exits}
    # A rank that is stopped during its imports exits, and its peers lose the connection: that is not a failure.
    failures = [one for one in exits if not (stop_reason and is_secondary_failure(one, tails[one.rank]))]
    if failures:
        first = find_root_cause(failures, tails)
        tail = tails[first.rank]
        is_secondary = is_secondary_failure(first, tail)
        return AttemptEnd(
            "failed", describe_failure(first, tail, oom.explain_kill), "workload", tail, is_secondary
        )
    result = stop_reason or last_result_text(directory, writer.state.started_at)
    reason = result or "the ranks ended by themselves"
    if processes.was_killed:
        reason += "; killed, since they reached no step boundary in time"
    is_late = not stop_reason and EXIT_LATE in processes.exit_codes
    return AttemptEnd("stopped", reason, "time_limit" if is_late else _cause_from_reason(stop_reason))


def _cause_from_reason(stop_reason: str) -> Cause:
    return "agent_silent" if stop_reason == LEASE_EXPIRED else "stopped"


def _clean_up(tag: str, placement: Placement, writer: StateWriter) -> None:
    strays = kill_strays(tag)
    if strays:
        writer.note(f"Killed {len(strays)} processes that the ranks left running.", "warning")
    if files := remove_shared_memory(placement.master_port):
        writer.note(f"Removed {len(files)} shared-memory files that the ranks left.", "warning")


def _truncate_logs(directory: AttemptDirectory, processes: RankProcesses, writer: StateWriter) -> None:
    """Keep only the end of logs above the limit. Ranks append, so they continue after the part that is kept."""
    for rank in processes.ranks:
        log = rank_log_path(directory, rank)
        try:
            if log.stat().st_size <= LOG_LIMIT_BYTES:
                continue
            with log.open("r+b") as file:
                file.seek(-LOG_KEPT_BYTES, os.SEEK_END)
                end = file.read()
                file.truncate(0)
            with log.open("ab") as file:
                file.write(b"[log truncated: older lines were removed]\n" + end)
        except OSError:
            continue
        writer.note(
            f"The log of rank {rank} exceeded {LOG_LIMIT_BYTES // 1024**2} MiB and was truncated.", "warning"
        )
