"""Cleanup after an attempt: its stray processes and shared memory."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from engine.supervisor.environment import TAG
from fourwalls.system import procfs

WAIT_S = 2.0
POLL_S = 0.02
SHARED_MEMORY = Path("/dev/shm")


def kill_strays(tag: str) -> list[int]:
    """SIGKILL all descendants of this process and all processes with the attempt's tag; return their pids.

    The tag alone misses ranks forked without exec, whose /proc/<pid>/environ is that of the parent. Descendants alone
    miss processes that outlived an earlier supervisor of this attempt.
    """
    killed: list[int] = []
    deadline = time.monotonic() + WAIT_S
    while (strays := _find_strays(tag)) and time.monotonic() < deadline:  # repeated, since a stray may fork
        killed += [pid for pid in strays if _kill(pid, tag) and pid not in killed]
        reap_children()
        time.sleep(POLL_S)
    reap_children()
    return killed


def kill_tagged(tag: str) -> list[int]:
    """SIGKILL all processes with the tag of an attempt whose supervisor is dead; return their pids.

    Reaps no children, so a process with children of its own can call it.
    """
    killed: list[int] = []
    deadline = time.monotonic() + WAIT_S
    while (strays := _find_tagged(tag)) and time.monotonic() < deadline:
        killed += [pid for pid in sorted(strays) if _kill(pid, tag) and pid not in killed]
        time.sleep(POLL_S)
    return killed


def reap_children() -> list[tuple[int, int]]:
    """Reap all ended children and return their (pid, exit code); negative codes are signals."""
    ended: list[tuple[int, int]] = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append((found[0], os.waitstatus_to_exitcode(found[1])))
    return ended


def remove_shared_memory(port: int) -> list[str]:
    """Remove the shared-memory files of this rendezvous port and return their names.

    DeepSpeed's CPU all-reduce leaves 66 MiB per rank, also after a clean exit.
    """
    removed = []
    for path in SHARED_MEMORY.glob(f"deepspeed_allreduce_buffer_*_{port}_*"):
        with contextlib.suppress(OSError):
            path.unlink()
            removed.append(path.name)
    return removed


def _find_strays(tag: str) -> list[int]:
    below = set(procfs.descendants(os.getpid()))
    return sorted((below | _find_tagged(tag)) - {os.getpid()})


def _find_tagged(tag: str) -> set[int]:
    return {pid for pid in procfs.pids() if procfs.environment_value(pid, TAG) == tag}


def _kill(pid: int, tag: str) -> bool:
    """SIGKILL a process if it still belongs to the attempt; the pidfd rules out a reused pid."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if procfs.environment_value(pid, TAG) != tag and not procfs.is_below(pid, os.getpid()):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
