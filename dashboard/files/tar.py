"""A folder on its way to a client as one tar: made while it is sent, never whole in memory or a second time on disk."""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

PIECE_BYTES = 1024 * 1024
BLOCK = tarfile.BLOCKSIZE


class TarDownload(StreamingHttpResponse):
    """The files of a folder below `name`/ in a tar. `done` is called when it was sent, or the client has gone."""

    def __init__(self, folder: Path, name: str, done: Callable[[], None] = lambda: None) -> None:
        self._files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._folder, self._name, self._done = folder, name, done
        sizes = [path.stat().st_size for path in self._files]
        heads = [self._head(path, size) for path, size in zip(self._files, sizes, strict=True)]
        total = sum(len(head) + -(-size // BLOCK) * BLOCK for head, size in zip(heads, sizes, strict=True))
        super().__init__((), content_type="application/x-tar")
        self._entries = list(zip(self._files, heads, sizes, strict=True))
        self["Content-Length"] = str(total + 2 * BLOCK)
        self["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}.tar"
        self["X-Content-Type-Options"] = "nosniff"

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces()
        finally:
            self._done()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._pieces()
        following = sync_to_async(lambda: next(pieces, None), thread_sensitive=False)
        try:
            while (piece := await following()) is not None:
                yield piece
        finally:
            self._done()

    def close(self) -> None:
        super().close()
        self._done()  # also where the client had gone before the first piece

    def _head(self, path: Path, size: int) -> bytes:
        entry = tarfile.TarInfo(f"{self._name}/{path.relative_to(self._folder).as_posix()}")
        entry.size, entry.mode, entry.mtime = size, 0o644, int(path.stat().st_mtime)
        return entry.tobuf(tarfile.PAX_FORMAT)

    def _pieces(self) -> Iterator[bytes]:
        for path, head, size in self._entries:
            yield head
            left = size
            with open(path, "rb") as file:
                while left and (piece := file.read(min(PIECE_BYTES, left))):
                    left -= len(piece)
                    yield piece
            # A file that was cut meanwhile must not shift what follows: the length was promised.
            yield b"\0" * (left + -size % BLOCK)
        yield b"\0" * (2 * BLOCK)
