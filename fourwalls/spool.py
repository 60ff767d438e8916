"""The spool of one writer: frames appended to files of its own folder, where they stay until the server has them.

    FOLDER/<run>/<stream>/  lock  about.json  frames-000000 frames-000001 ...  position.json

A frame is its length, its CRC-32 and its content. What a killed process left half written is not a frame, and is cut
off by the next one that opens the spool. One process holds the lock; the kernel frees it when that process dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HEAD = struct.Struct("<II")
SEGMENT_BYTES = 16 * 1024 * 1024  # after which a new file begins, so that what is sent can be deleted
FRAME_LIMIT_BYTES = 64 * 1024 * 1024


class Place(NamedTuple):
    """Between two frames."""

    segment: int
    offset: int


class Held(Exception):
    """Another process holds the spool."""


class Spool:
    """Opened by one process at a time. Raises Held, OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.is_locked = True
        except BlockingIOError:
            os.close(self._lock)
            raise Held(str(folder)) from None
        except (
            OSError
        ):  # some shared file systems have no locks: nobody but its writer takes such a spool by itself
            self.is_locked = False
        self.end = self._mended_end()
        self._file = os.open(
            self._path(self.end.segment), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )

    def append(self, content: bytes) -> None:
        """In the file when this returns. Raises OSError, and then nothing was appended."""
        if self.end.offset >= SEGMENT_BYTES:
            self._next_segment()
        frame = HEAD.pack(len(content), zlib.crc32(content)) + content
        try:
            written = os.write(self._file, frame)
            if written < len(frame):
                raise OSError(f"only {written} of {len(frame)} bytes were written")
        except OSError:
            os.ftruncate(self._file, self.end.offset)
            raise
        self.end = Place(self.end.segment, self.end.offset + len(frame))

    def sync(self) -> None:
        os.fsync(self._file)

    def read(self, start: Place, limit_bytes: int) -> Iterator[tuple[Place, bytes]]:
        """Whole frames from `start`, each with the place behind it, until `limit_bytes` are passed."""
        place, read_bytes = start, 0
        while read_bytes < limit_bytes:
            found = self._frame(place)
            if found is None:
                if not self._path(place.segment + 1).exists():
                    return
                place = Place(place.segment + 1, 0)
                continue
            place = Place(place.segment, place.offset + HEAD.size + len(found))
            read_bytes += len(found)
            yield place, found

    def position(self) -> dict[str, Any]:
        """What `keep_position` last kept; {} at the beginning."""
        try:
            return json.loads((self.folder / "position.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}

    def keep_position(self, position: dict[str, Any], *, durably: bool) -> None:
        write_atomically(self.folder / "position.json", position, durably=durably)

    def forget_before(self, place: Place) -> None:
        """Delete the files that lie wholly before `place`."""
        for path in self.segments():
            if int(path.name[-6:]) < place.segment:
                path.unlink(missing_ok=True)

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("frames-[0-9]*"))

    def close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    def delete(self) -> None:
        """Everything is where it belongs: the folder goes, and its run's if it was the last."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()
        try:
            self.folder.parent.rmdir()
        except OSError:
            return  # another writer's folder lies beside it

    def _path(self, segment: int) -> Path:
        return self.folder / f"frames-{segment:06d}"

    def _next_segment(self) -> None:
        following = os.open(
            self._path(self.end.segment + 1), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        os.fsync(self._file)
        os.close(self._file)
        self._file, self.end = following, Place(self.end.segment + 1, 0)

    def _frame(self, place: Place) -> bytes | None:
        """None where no whole frame stands, be it yet or for ever."""
        try:
            with self._path(place.segment).open("rb", buffering=0) as file:
                file.seek(place.offset)
                head = file.read(HEAD.size)
                if len(head) < HEAD.size:
                    return None
                length, checksum = HEAD.unpack(head)
                content = file.read(length) if length <= FRAME_LIMIT_BYTES else b""
        except FileNotFoundError:
            return None
        return content if len(content) == length and zlib.crc32(content) == checksum else None

    def _mended_end(self) -> Place:
        """Behind the last whole frame of the last file; what stands there is cut off."""
        paths = self.segments()
        segment = int(paths[-1].name[-6:]) if paths else 0
        place = Place(segment, 0)
        while (content := self._frame(place)) is not None:
            place = Place(segment, place.offset + HEAD.size + len(content))
        if paths and paths[-1].stat().st_size > place.offset:
            os.truncate(paths[-1], place.offset)
        return place


def write_atomically(path: Path, value: dict[str, Any], *, durably: bool) -> None:
    """Readers see the old content or the new; `durably`: so does a machine that lost its power."""
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(value).encode())
        if durably:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(scratch, path)
