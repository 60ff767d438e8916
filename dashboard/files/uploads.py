"""Request bodies in chunks, so that no file is held in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest

from engine.request_limits import whole_number

CHUNK_BYTES = 512 * 1024


def read_chunks(request: HttpRequest) -> Iterator[bytes]:
    while chunk := request.read(CHUNK_BYTES):
        yield chunk


def declared_bytes(request: HttpRequest) -> int:
    """The length that the request declares; 0 without one."""
    return whole_number(request.headers.get("Content-Length", "")) or 0
