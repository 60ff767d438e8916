"""Spool of one writer: frames in files, kept until the server has them.

    FOLDER/<run>/<stream>/  lock  about.json  frames-000000 frames-000001 ...  position.json

A frame is its length, its CRC-32 and its content. A frame that a killed process left incomplete is cut off
when the spool is opened again. One process holds the lock; the kernel releases it when that process dies.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fourwalls.file_locks import open_file, try_lock

HEADER = struct.Struct("<II")
SEGMENT_BYTES = 16 * 1024 * 1024  # size at which a new file starts, so that sent files can be deleted
FRAME_LIMIT_BYTES = 64 * 1024 * 1024


class SpoolPosition(NamedTuple):
    """A position between two frames."""

    segment: int
    offset: int


class SpoolLocked(Exception):
    """Another process holds the spool."""


class FrameSpool:
    """A spool, open in one process at a time. Raises SpoolLocked, OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = open_file(folder / "lock", os.O_RDWR | os.O_CREAT)
        is_locked = try_lock(self._lock)
        if is_locked is False:
            os.close(self._lock)
            raise SpoolLocked(str(folder))
        # Some shared file systems have no locks: only its writer opens such a spool automatically.
        self.is_locked = bool(is_locked)
        self.end = self._recover_end()
        self._file = open_file(self._path(self.end.segment), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append(self, content: bytes) -> None:
        """Append one frame; it is in the file when this returns. Raises OSError, and then nothing was appended."""
        if self.end.offset >= SEGMENT_BYTES:
            self._next_segment()
        frame = HEADER.pack(len(content), zlib.crc32(content)) + content
        try:
            written = os.write(self._file, frame)
            if written < len(frame):
                raise OSError(f"only {written} of {len(frame)} bytes were written")
        except OSError:
            os.ftruncate(self._file, self.end.offset)
            raise
        self.end = SpoolPosition(self.end.segment, self.end.offset + len(frame))

    def sync(self) -> None:
        os.fsync(self._file)

    def read(self, start: SpoolPosition, limit_bytes: int) -> Iterator[tuple[SpoolPosition, bytes]]:
        """Complete frames from `start`, each with the position behind it, until `limit_bytes` are exceeded."""
        position, read_bytes = start, 0
        while read_bytes < limit_bytes:
            content = self._read_frame(position)
            if content is None:
                if not self._path(position.segment + 1).exists():
                    return
                position = SpoolPosition(position.segment + 1, 0)
                continue
            position = SpoolPosition(position.segment, position.offset + HEADER.size + len(content))
            read_bytes += len(content)
            yield position, content

    def read_position(self) -> dict[str, Any]:
        """What `write_position` last stored; {} at first."""
        try:
            return json.loads((self.folder / "position.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}

    def write_position(self, position: dict[str, Any], *, durably: bool) -> None:
        write_atomically(self.folder / "position.json", position, durably=durably)

    def delete_segments_before(self, position: SpoolPosition) -> None:
        """Delete the files that lie wholly before `place`."""
        for path in self.segments():
            if int(path.name[-6:]) < position.segment:
                path.unlink(missing_ok=True)

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("frames-[0-9]*"))

    def close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    def delete(self) -> None:
        """Delete the folder, and the run's folder if it is empty then."""
        if os.name == "nt":  # which deletes no open file
            self.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.close()
        try:
            self.folder.parent.rmdir()
        except OSError:
            return  # the run's folder has another writer's folder

    def _path(self, segment: int) -> Path:
        return self.folder / f"frames-{segment:06d}"

    def _next_segment(self) -> None:
        descriptor = open_file(self._path(self.end.segment + 1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.fsync(self._file)
        os.close(self._file)
        self._file, self.end = descriptor, SpoolPosition(self.end.segment + 1, 0)

    def _read_frame(self, position: SpoolPosition) -> bytes | None:
        """The frame at a position; None if it is incomplete or missing."""
        try:
            with self._path(position.segment).open("rb", buffering=0) as file:
                file.seek(position.offset)
                head = file.read(HEADER.size)
                if len(head) < HEADER.size:
                    return None
                length, checksum = HEADER.unpack(head)
                content = file.read(length) if length <= FRAME_LIMIT_BYTES else b""
        except FileNotFoundError:
            return None
        return content if len(content) == length and zlib.crc32(content) == checksum else None

    def _recover_end(self) -> SpoolPosition:
        """Cut off what follows the last complete frame of the last file, and return that position."""
        paths = self.segments()
        segment = int(paths[-1].name[-6:]) if paths else 0
        position = SpoolPosition(segment, 0)
        while (content := self._read_frame(position)) is not None:
            position = SpoolPosition(segment, position.offset + HEADER.size + len(content))
        if paths and paths[-1].stat().st_size > position.offset:
            os.truncate(paths[-1], position.offset)
        return position


def write_atomically(path: Path, value: dict[str, Any], *, durably: bool) -> None:
    """Write JSON so that readers see the old or the new content; with `durably`, also after a power failure."""
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = open_file(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.write(descriptor, json.dumps(value).encode())
        if durably:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(scratch, path)
