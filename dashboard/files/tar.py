"""Downloads of folders as one tar.

The tar is made while it is sent: never held in memory as a whole, nor written to disk.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

CHUNK_BYTES = 1024 * 1024
BLOCK = tarfile.BLOCKSIZE


class TarDownload(StreamingHttpResponse):
    """The files of a folder below `name`/ in a tar. `done` is called after the last byte or when the client is gone."""

    def __init__(self, folder: Path, name: str, done: Callable[[], None] = lambda: None) -> None:
        self._files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._folder, self._name, self._done = folder, name, done
        sizes = [path.stat().st_size for path in self._files]
        headers = [self._header(path, size) for path, size in zip(self._files, sizes, strict=True)]
        total = sum(
            len(header) + -(-size // BLOCK) * BLOCK for header, size in zip(headers, sizes, strict=True)
        )
        super().__init__((), content_type="application/x-tar")
        self._entries = list(zip(self._files, headers, sizes, strict=True))
        self["Content-Length"] = str(total + 2 * BLOCK)
        self["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}.tar"
        self["X-Content-Type-Options"] = "nosniff"

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks()
        finally:
            self._done()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._chunks()
        read_next = sync_to_async(lambda: next(chunks, None), thread_sensitive=False)
        try:
            while (chunk := await read_next()) is not None:
                yield chunk
        finally:
            self._done()

    def close(self) -> None:
        super().close()
        self._done()  # also if the client was gone before the first chunk

    def _header(self, path: Path, size: int) -> bytes:
        entry = tarfile.TarInfo(f"{self._name}/{path.relative_to(self._folder).as_posix()}")
        entry.size, entry.mode, entry.mtime = size, 0o644, int(path.stat().st_mtime)
        return entry.tobuf(tarfile.PAX_FORMAT)

    def _chunks(self) -> Iterator[bytes]:
        for path, header, size in self._entries:
            yield header
            missing = size
            with open(path, "rb") as file:
                while missing and (chunk := file.read(min(CHUNK_BYTES, missing))):
                    missing -= len(chunk)
                    yield chunk
            # A file that was truncated meanwhile must not shift the next ones: Content-Length is sent already.
            yield b"\0" * (missing + -size % BLOCK)
        yield b"\0" * (2 * BLOCK)
