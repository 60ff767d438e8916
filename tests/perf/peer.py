"""A server that is measured: what it answers over one kept connection, and what that costs its processes."""

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
class Peer:
    """A server, its process tree, and the database behind it where a bench fills that."""

    port: int
    process: psutil.Process
    database: Path | Postgresql | None = None
    token: str = ""

    def cpu_s(self, work: Callable[[], object]) -> float:
        """CPU seconds of all its processes, PostgreSQL's too, while `work` is done."""
        self._connection.close()  # the server may have given it up since; it opens by itself
        before = self._spent()
        work()
        return self._spent() - before

    def cost(self, work: Callable[[], object], times: int) -> tuple[float, float]:
        """CPU seconds and median wall seconds a call, once warm. Many at once: the kernel counts CPU in hundredths."""
        walls: list[float] = []

        def timed() -> None:
            began = time.perf_counter()
            work()
            walls.append(time.perf_counter() - began)

        cpu_s = self.cpu_s(lambda: [timed() for _ in range(times)]) / times
        return cpu_s, statistics.median(walls)

    @cached_property
    def _connection(self) -> http.client.HTTPConnection:
        """Kept open, as the clients of all do."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> dict:
        return msgspec.json.decode(self.fetch(method, path, body, kind))

    def fetch(self, method: str, path: str, body: object = None, kind: str = "application/json") -> bytes:
        headers = {"Content-Type": kind}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        try:
            answer = self._answer(method, path, data, headers)
        except (
            ConnectionError,
            http.client.RemoteDisconnected,
        ):  # it gives up what was quiet for five seconds
            self._connection.close()
            answer = self._answer(method, path, data, headers)
        said = answer.read()
        assert answer.status < 300, said[:500]
        return said

    def _answer(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        self._connection.request(method, path, data, headers)
        return self._connection.getresponse()

    def _spent(self) -> float:
        total = self.database.cpu_s() if isinstance(self.database, Postgresql) else 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total
