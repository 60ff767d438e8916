"""Request bodies in chunks, so that no file is held in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest

CHUNK_BYTES = 512 * 1024


def read_chunks(request: HttpRequest) -> Iterator[bytes]:
    while chunk := request.read(CHUNK_BYTES):
        yield chunk
