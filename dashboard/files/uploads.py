"""A request's body in pieces, so that no file is whole in memory."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest

from engine.request_limits import whole_number

PIECE_BYTES = 512 * 1024


def pieces_of(request: HttpRequest) -> Iterator[bytes]:
    while piece := request.read(PIECE_BYTES):
        yield piece


def declared_bytes(request: HttpRequest) -> int:
    """The length that the request declares; 0 without one."""
    return whole_number(request.headers.get("Content-Length", "")) or 0
