"""Device locks: a free kernel lock shows that no attempt runs on the device."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path

from fourwalls.system import procfs

RETRY_S = 0.1


class DeviceHeld(Exception):
    """A process of an earlier attempt still holds a device."""


def lock_devices(lock_dir: Path, devices: Iterable[str], wait_s: float) -> list[int]:
    """Lock every device and return the descriptors, which ranks inherit.

    flock belongs to the open file and not to the process, so the lock is held until the last rank, and the last
    process that a rank forked, has closed it or ended. Raises DeviceHeld if a device is still held after `wait_s`; then
    no device is locked.
    """
    lock_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + wait_s
    held: list[int] = []
    try:
        for device in sorted(set(devices)):  # sorted, so that supervisors cannot deadlock
            held.append(_lock(lock_path(lock_dir, device), device, deadline))
    except BaseException:
        release(held)
        raise
    return held


def lock_path(lock_dir: Path, device: str) -> Path:
    return lock_dir / f"{device.replace('/', '_')}.lock"


def release(descriptors: Iterable[int]) -> None:
    """Close the descriptors without unlocking: an unlock would also affect a rank that outlived its supervisor."""
    for descriptor in descriptors:
        os.close(descriptor)


def holders(path: Path) -> list[int]:
    """Return the pids of the visible processes that hold the lock on `path`."""
    wanted = os.path.realpath(path)
    return [pid for pid in procfs.pids() if any(_is_held_by(pid, fd, wanted) for fd in _descriptors(pid))]


def lock_folder(folder: Path) -> int | None:
    """Lock the folder of an attempt, so that it has only one supervisor; None if another process holds the lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except BlockingIOError:
        os.close(descriptor)
        return None


def is_free(lock_dir: Path, device: str) -> bool:
    """Whether a device can be locked at this moment; this may change at any time."""
    try:
        release(lock_devices(lock_dir, (device,), wait_s=0))
    except DeviceHeld:
        return False
    return True


def _lock(path: Path, device: str, deadline: float) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise DeviceHeld(_held_message(path, device)) from None
        time.sleep(RETRY_S)


def _held_message(path: Path, device: str) -> str:
    found = holders(path)
    holder = f"pid {', '.join(map(str, found))}" if found else "its process is not visible"
    return f"device {device} is still held by an earlier attempt ({holder})"


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []


def _is_held_by(pid: int, descriptor: str, path: str) -> bool:
    """Whether the descriptor holds the lock: fdinfo lists the locks of this open file, so a waiter does not count."""
    try:
        if os.readlink(f"/proc/{pid}/fd/{descriptor}") != path:
            return False
        return b"FLOCK" in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_bytes()
    except OSError:
        return False
