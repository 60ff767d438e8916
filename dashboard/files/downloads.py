"""Downloads of single files in chunks.

A file is never held in memory as a whole, and a slow client holds no thread.
"""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.http import Http404, StreamingHttpResponse

CHUNK_BYTES = 512 * 1024
# Types that a browser may display. All others are saved as bytes: a logged HTML page must not run as one of ours.
IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class FileDownload(StreamingHttpResponse):
    """A file to save. Works under WSGI and under ASGI, where Django would read a synchronous iterator into memory.

    Sends `size_bytes` at most: a log may grow meanwhile. Raises Http404 if the file does not exist.
    """

    def __init__(self, path: Path, name: str, size_bytes: int) -> None:
        if not path.is_file():
            raise Http404
        self.path, self.size_bytes = path, size_bytes
        content_type = mimetypes.guess_type(name)[0]
        if content_type not in IMAGE_TYPES:
            content_type = "application/octet-stream"
        super().__init__((), content_type=content_type)
        self["Content-Length"] = str(size_bytes)
        self["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
        self["Content-Security-Policy"] = "default-src 'none'; sandbox"
        self["X-Content-Type-Options"] = "nosniff"

    def __iter__(self) -> Iterator[bytes]:
        left = self.size_bytes
        with open(self.path, "rb") as file:
            while chunk := file.read(min(left, CHUNK_BYTES)):
                left -= len(chunk)
                yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        file, left = await sync_to_async(_open, thread_sensitive=False)(self.path), self.size_bytes
        try:
            while chunk := await sync_to_async(file.read, thread_sensitive=False)(min(left, CHUNK_BYTES)):
                left -= len(chunk)
                yield chunk
        finally:
            await sync_to_async(file.close, thread_sensitive=False)()


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
