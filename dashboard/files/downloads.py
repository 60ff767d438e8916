"""A file on its way to a client, in pieces: never whole in memory, and no thread is held while the client is slow."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.http import Http404, StreamingHttpResponse

PIECE_BYTES = 512 * 1024
# Only these are shown in the browser under their own type; all others are bytes to save: a page somebody logged must
# not run as one of ours.
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class FileDownload(StreamingHttpResponse):
    """Works under ASGI, where Django reads synchronous iterators into memory, and under WSGI. Raises Http404."""

    def __init__(self, path: Path, name: str, size_bytes: int) -> None:
        if not path.is_file():
            raise Http404
        self.path = path
        kind = mimetypes.guess_type(name)[0]
        super().__init__((), content_type=kind if kind in PICTURES else "application/octet-stream")
        self["Content-Length"] = str(size_bytes)
        self["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
        self["Content-Security-Policy"] = "default-src 'none'; sandbox"
        self["X-Content-Type-Options"] = "nosniff"

    def __iter__(self) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        file = await sync_to_async(open, thread_sensitive=False)(self.path, "rb")
        try:
            while piece := await sync_to_async(file.read, thread_sensitive=False)(PIECE_BYTES):
                yield piece
        finally:
            await sync_to_async(file.close, thread_sensitive=False)()
