"""One kernel-held lock per device: the proof that nothing of an earlier attempt still runs on it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path

from engine import procfs

RETRY_S = 0.1


class DeviceHeld(Exception):
    """Some process of an earlier attempt still holds a device."""


def hold_devices(lock_dir: Path, devices: Iterable[str], wait_s: float) -> list[int]:
    """Lock every device and return the descriptors, which ranks inherit.

    flock belongs to the open file, not to the process: it stays held until the last rank, and the last process that
    a rank forked, has closed it or died. Raises DeviceHeld when one is still held after `wait_s`; holds none then.
    """
    lock_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + wait_s
    held: list[int] = []
    try:
        for device in sorted(set(devices)):  # sorted: two supervisors never wait for each other in a ring
            held.append(_hold(lock_path(lock_dir, device), device, deadline))
    except BaseException:
        release(held)
        raise
    return held


def lock_path(lock_dir: Path, device: str) -> Path:
    return lock_dir / f"{device.replace('/', '_')}.lock"


def release(descriptors: Iterable[int]) -> None:
    """Close, never unlock: unlocking would also take the lock from a rank that outlived its supervisor."""
    for descriptor in descriptors:
        os.close(descriptor)


def holders(path: Path) -> list[int]:
    """Pids of the processes through which the lock on `path` is held, as far as they may be looked at."""
    wanted = os.path.realpath(path)
    return [pid for pid in procfs.pids() if any(_is_held_by(pid, fd, wanted) for fd in _descriptors(pid))]


def hold_folder(folder: Path) -> int | None:
    """A lock on the folder itself, so that one attempt never has two supervisors. None: another one holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except BlockingIOError:
        os.close(descriptor)
        return None


def is_free(lock_dir: Path, device: str) -> bool:
    """Whether a device could be held right now; a hint, not a promise."""
    try:
        release(hold_devices(lock_dir, (device,), wait_s=0))
    except DeviceHeld:
        return False
    return True


def _hold(path: Path, device: str, deadline: float) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise DeviceHeld(_sentence(path, device)) from None
        time.sleep(RETRY_S)


def _sentence(path: Path, device: str) -> str:
    found = holders(path)
    who = f"pid {', '.join(map(str, found))}" if found else "its process cannot be seen from here"
    return f"device {device} is still held by an earlier attempt ({who})"


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []


def _is_held_by(pid: int, descriptor: str, path: str) -> bool:
    """fdinfo names the locks that belong to this very open file, so one that merely waits is not counted."""
    try:
        if os.readlink(f"/proc/{pid}/fd/{descriptor}") != path:
            return False
        return b"FLOCK" in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_bytes()
    except OSError:
        return False
