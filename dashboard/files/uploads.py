"""A request's body in pieces, so that no file is whole in memory."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest

PIECE_BYTES = 512 * 1024


def pieces_of(request: HttpRequest) -> Iterator[bytes]:
    while piece := request.read(PIECE_BYTES):
        yield piece
