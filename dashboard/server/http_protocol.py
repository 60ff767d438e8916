"""HTTP protocol of the web server with limits for headers and connections.

uvicorn limits headers only with h11, which takes 78 us of CPU per request; httptools takes 15, and this class 19
(measured 2026-11-30). Its timeouts begin once a request is complete: a peer that sends nothing, or half of a header,
would keep its connection for ever.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 64 * 1024  # the query of an address may have 32 KiB
HEADER_S = 15.0  # from the first byte to the end of the headers
CONNECTIONS_LIMIT = 2_000
OTHER_FILES = 200  # descriptors of a web process beside its connections

REFUSALS = {
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class HeadersTooLarge(Exception):
    """More than HEADER_BYTES of headers or trailers."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    connections_limit = CONNECTIONS_LIMIT

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_in_headers = True
        self._num_fed = self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.connections_limit:
            return self._refuse(503)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._is_in_headers:
            self._num_fed += len(data)
            self._start_timer()
        super().data_received(data)
        if self._is_in_headers and self._num_fed > HEADER_BYTES and not self.transport.is_closing():
            self._refuse(431)

    def on_message_begin(self) -> None:
        self._is_in_headers, self._header_bytes = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > HEADER_BYTES:
            raise HeadersTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._is_in_headers, self._num_fed = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_headers = True  # of the next request

    def send_400_response(self, msg: str) -> None:
        if self._header_bytes > HEADER_BYTES:
            self._refuse(431)
        else:
            super().send_400_response(msg)

    def _start_timer(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADER_S, self._refuse, 408)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _refuse(self, status: int) -> None:
        """Close the connection with a bare reply: which part of the server was meant is not known yet."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        reason = REFUSALS[status].encode()
        retry = b"retry-after: 2\r\n" if status == 503 else b""
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n%s"
            b"connection: close\r\n\r\n%s" % (status, reason, len(reason), retry, reason)
        )
        self.transport.close()


def raise_connections_limit() -> None:
    """Allow as many open files as the system does, and no more connections than fit into them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_LIMIT + OTHER_FILES
    soft = wanted if hard == resource.RLIM_INFINITY else min(max(soft, wanted), hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    BoundedProtocol.connections_limit = max(10, min(CONNECTIONS_LIMIT, soft - OTHER_FILES))
