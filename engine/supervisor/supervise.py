"""Supervision of the ranks of one attempt on one node.

`python -m engine.supervisor DIR` starts the ranks as fresh interpreters. The fork server calls `supervise` in a
forked child instead, with a `spawn` that forks. Either way the process must be single-threaded (PR_SET_PDEATHSIG is
tied to the thread that forks) and have no other children.
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
from engine.supervisor.environment import ROOT, allowed, free_port, rank_environment
from engine.supervisor.hang_detection import Hang
from engine.supervisor.locks import DeviceHeld, hold_devices, hold_folder, release
from engine.supervisor.prepare import wait_for_commit
from engine.supervisor.rank_processes import Gang
from engine.supervisor.report import Report, last_words
from engine.supervisor.root_cause import culprit, is_witness, sentence, tail_of
from engine.supervisor.spawn import Spawn, become_subreaper, rank_log

POLL_S = 0.05
LOCK_WAIT_S = 3.0
LOCK_WAIT_TOLD_S = 0.05
ABORT_GRACE_S = 0.5  # ranks of a broken gang reach no step border: there is nothing to wait for
WITNESS_S = 0.3  # how long peers of a dead rank get to end by themselves, which shows who was first
KILL_AFTER_S = 2.0
LOG_LIMIT_BYTES = 64 * 1024**2
LOG_KEPT_BYTES = 1024**2

AGENT_SILENT = "the agent went silent"

EXIT_CODES: dict[AttemptState, int] = {"succeeded": 0, "stopped": EXIT_STOPPED, "failed": 1}


@dataclass(frozen=True)
class Ending:
    state: AttemptState
    reason: str
    cause: Cause
    stderr_tail: tuple[str, ...] = ()
    is_witness: bool = False


class Orders:
    """Why the ranks should stop, if they should: a signal, the control file, or a lease that ran out."""

    def __init__(self, directory: AttemptDirectory) -> None:
        self._directory = directory
        self._signal: int | None = None
        self._lease: float | None = None
        self._lease_deadline = float("inf")
        self._grace_s = float(os.environ.get("FOURWALLS_STOP_GRACE_S", "60"))  # from the request to the kill
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def why_stop(self) -> str:
        """'' while the ranks may go on."""
        if self._signal:
            return f"the supervisor was told to stop by {signal.Signals(self._signal).name}"
        control = self._directory.read_control()
        if control == "abort":
            self._grace_s = min(self._grace_s, ABORT_GRACE_S)
            return "the gang was broken up"
        if control == "stop":
            return "stopped on request"
        return AGENT_SILENT if self._is_lease_over() else ""

    @property
    def grace_s(self) -> float:
        return self._grace_s

    def _take(self, number: int, _frame: object) -> None:
        self._signal = number

    def _is_lease_over(self) -> bool:
        """What is left of a lease is counted on the monotonic clock from when it was first seen, so that a clock set
        forward, or a laptop that slept, does not end a run whose agent is well."""
        lease = self._directory.read_lease()
        if lease is not None and lease != self._lease:
            self._lease = lease
            self._lease_deadline = time.monotonic() + lease - time.time()
        return time.monotonic() > self._lease_deadline


def supervise(directory: AttemptDirectory, spawn: Spawn) -> int:
    """Run one attempt to its end. Returns 0 succeeded, 75 stopped, 1 failed; state.json says why.

    An attempt is started once: for one that has a supervisor, or had one, this writes nothing and returns 1.
    """
    lock = hold_folder(directory.path)
    if lock is None or directory.read_state() is not None:
        sys.stderr.write(f"{directory.path} has been started before; a new attempt needs a new folder.\n")
        return EXIT_CODES["failed"]
    become_subreaper()
    report = Report(directory)
    try:
        ending = _run(directory, spawn, Orders(directory), report)
    except BaseException as error:
        report.end("failed", f"the supervisor itself failed: {type(error).__name__}: {error}", "supervisor")
        raise
    report.end(ending.state, ending.reason, ending.cause, ending.stderr_tail, ending.is_witness)
    return EXIT_CODES[ending.state]


def start_cold(directory: AttemptDirectory) -> subprocess.Popen[bytes]:
    """A supervisor in a session of its own, which outlives the caller; its output goes to log/supervisor.log."""
    settings = ("TRAINER_PYTHON", "FOURWALLS_STOP_GRACE_S", *hang_detection.SETTINGS)
    environment = allowed(os.environ) | {name: os.environ[name] for name in settings if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH", ""))))
    with (directory.log / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "engine.supervisor", str(directory.path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip


def _run(directory: AttemptDirectory, spawn: Spawn, orders: Orders, report: Report) -> Ending:
    """Locks around ranks around the sweep: devices are free again before a terminal state is shown."""
    placement, began = directory.read_placement(), time.monotonic()
    try:
        locks = hold_devices(Path(placement.lock_dir), (seat.device for seat in placement.seats), LOCK_WAIT_S)
    except DeviceHeld as error:
        return Ending("failed", str(error), "device_held")
    if (waited_s := time.monotonic() - began) > LOCK_WAIT_TOLD_S:
        report.note(f"Waited {waited_s:.1f} s for devices that something of an earlier attempt still held.")
    gang, tag = Gang(), str(directory.path.resolve())
    try:
        if directory.read_control() == "prepare":
            placement = wait_for_commit(directory, placement, orders.why_stop, report.armed)
        elif not placement.master_port:
            placement = msgspec.structs.replace(placement, master_port=free_port(placement.master_addr))
        if why := orders.why_stop():
            return Ending("stopped", f"{why}, before the ranks were started", _cause(why))
        gang.start(placement, spawn, lambda seat: rank_environment(tag, placement, seat))
        report.ranks(gang.exits)
        report.running()
        stopped_because, hang = _watch(directory, gang, orders, report)
        if hang:
            return _of_hang(directory, hang, placement)
        return _ending(directory, gang, report, stopped_because)
    finally:
        _clean(tag, placement, report)
        release(locks)


def _watch(
    directory: AttemptDirectory, gang: Gang, orders: Orders, report: Report
) -> tuple[str, Hang | None]:
    """Until every rank has ended. Returns why they were asked to stop, '' if they were not, and how they hung."""
    why, terminate_at, kill_at = "", float("inf"), float("inf")
    pulse, hang = hang_detection.Watch(directory.path), None
    while gang.alive:
        time.sleep(POLL_S)
        now = time.monotonic()
        gang.reap()
        if gang.is_broken:
            terminate_at = min(terminate_at, now + WITNESS_S)
            kill_at = min(kill_at, now + WITNESS_S + KILL_AFTER_S)
        elif order := orders.why_stop():
            if not why:
                report.note(f"Ranks are asked to stop at a step border: {order}.")
            why = why or order
            terminate_at, kill_at = min(terminate_at, now), min(kill_at, now + orders.grace_s)
        elif not hang and (hang := pulse.look(gang.alive)):
            report.note(f"{hang.reason}. The stacks of all ranks are in their logs.", "error")
            hang_detection.ask_for_stacks(gang.alive)
            terminate_at, kill_at = now, now + KILL_AFTER_S
        if now >= kill_at:
            gang.kill()
        elif now >= terminate_at:
            gang.terminate()
        report.ranks(gang.exits)
        if report.beat():
            _cut_logs(directory, gang, report)
    return why, hang


def _of_hang(directory: AttemptDirectory, hang: Hang, placement: Placement) -> Ending:
    is_witness = placement.has_other_nodes and not hang.is_sure
    return Ending("failed", hang.reason, "hung", tail_of(rank_log(directory, hang.rank)), is_witness)


def _ending(directory: AttemptDirectory, gang: Gang, report: Report, stopped_because: str) -> Ending:
    if gang.exit_codes == {0}:
        said = last_words(directory, report.state.started_at)
        return Ending("succeeded", said or "every rank finished", "done")
    tails = {death.rank: tail_of(rank_log(directory, death.rank)) for death in gang.deaths}
    # A rank told to stop while it still imports dies of it, and its peers of the lost connection: that is no failure.
    failures = [d for d in gang.deaths if not (stopped_because and is_witness(d, tails[d.rank]))]
    if failures:
        first = culprit(failures, tails)
        tail = tails[first.rank]
        return Ending("failed", sentence(first, tail), "workload", tail, is_witness(first, tail))
    why = stopped_because or last_words(directory, report.state.started_at) or "the ranks ended by themselves"
    if gang.was_killed:
        why += "; killed, since no step border came in time"
    is_late = not stopped_because and EXIT_LATE in gang.exit_codes
    return Ending("stopped", why, "time_limit" if is_late else _cause(stopped_because))


def _cause(stopped_because: str) -> Cause:
    return "agent_silent" if stopped_because == AGENT_SILENT else "stopped"


def _clean(tag: str, placement: Placement, report: Report) -> None:
    strays = kill_strays(tag)
    if strays:
        report.note(f"Killed {len(strays)} processes that the ranks had left behind.", "warning")
    if left := remove_shared_memory(placement.master_port):
        report.note(f"Removed {len(left)} shared-memory files that the ranks had left behind.", "warning")


def _cut_logs(directory: AttemptDirectory, gang: Gang, report: Report) -> None:
    """Keep the end of a log that grew past the limit. Ranks append, so they write on behind what is kept."""
    for rank in gang.ranks:
        log = rank_log(directory, rank)
        try:
            if log.stat().st_size <= LOG_LIMIT_BYTES:
                continue
            with log.open("r+b") as file:
                file.seek(-LOG_KEPT_BYTES, os.SEEK_END)
                kept = file.read()
                file.truncate(0)
            with log.open("ab") as file:
                file.write(b"[the log grew past its limit; older lines were cut]\n" + kept)
        except OSError:
            continue
        report.note(
            f"The log of rank {rank} grew past {LOG_LIMIT_BYTES // 1024**2} MiB and was cut.", "warning"
        )
