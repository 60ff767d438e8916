"""Client of a measured server: responses over a persistent connection, and their CPU cost."""

from __future__ import annotations

import contextlib
import http.client
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import psutil

from tests.services import Postgresql


@dataclass
class PeerServer:
    """A server, its process tree, and the database behind it."""

    port: int
    process: psutil.Process
    database: Path | Postgresql | None = None
    token: str = ""

    def cpu_s(self, work: Callable[[], object]) -> float:
        """CPU seconds of all its processes, including PostgreSQL's, during `work`."""
        self._connection.close()  # the server may have closed it; it opens again on use
        before = self._cpu_s_total()
        work()
        return self._cpu_s_total() - before

    def cost(self, work: Callable[[], object], times: int) -> tuple[float, float]:
        """CPU seconds and median wall seconds per call, once warm.

        Many calls are needed, since the kernel counts CPU in hundredths of a second.
        """
        walls: list[float] = []

        def timed() -> None:
            began = time.perf_counter()
            work()
            walls.append(time.perf_counter() - began)

        cpu_s = self.cpu_s(lambda: [timed() for _ in range(times)]) / times
        return cpu_s, statistics.median(walls)

    @cached_property
    def _connection(self) -> http.client.HTTPConnection:
        """A persistent connection, as all clients use."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> dict:
        return msgspec.json.decode(self.fetch(method, path, body, kind))

    def fetch(self, method: str, path: str, body: object = None, kind: str = "application/json") -> bytes:
        headers = {"Content-Type": kind}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        try:
            answer = self._request(method, path, data, headers)
        except (
            ConnectionError,
            http.client.RemoteDisconnected,
        ):  # the server closes connections that are idle for five seconds
            self._connection.close()
            answer = self._request(method, path, data, headers)
        body_bytes = answer.read()
        assert answer.status < 300, body_bytes[:500]
        return body_bytes

    def _request(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        self._connection.request(method, path, data, headers)
        return self._connection.getresponse()

    def _cpu_s_total(self) -> float:
        total = self.database.cpu_s() if isinstance(self.database, Postgresql) else 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total
