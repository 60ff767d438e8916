"""The machine's own figures, every few seconds, by the same readers as Fourwalls's agents where they are installed."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from fourwalls import limits
from fourwalls.frames import Row
from fourwalls.writing import Writer

NOT_INSTALLED = "the package that reads this machine (engine.telemetry) is not installed here"

log = logging.getLogger("fourwalls")


class Sampler:
    """A thread of its own. What cannot be read is told once, with the reason, and never as 0."""

    def __init__(self, tell: Callable[[str, dict[str, Any]], None], writer: Writer, every_s: float) -> None:
        self._tell, self._writer, self._every_s = tell, writer, every_s
        self._told: dict[str, dict[str, Any]] = {}
        self._is_closing = threading.Event()
        self._name = f"host:{re.sub(r'[^A-Za-z0-9_.-]', '-', socket.gethostname())[: limits.SOURCE_CHARS] or 'unnamed'}"
        self._thread = threading.Thread(target=self._work, name="fourwalls-host", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closing.set()

    def _work(self) -> None:
        try:
            from engine.telemetry.host import Host
            from engine.telemetry.sources import open_source

            source, machine = open_source()[0], Host()
        except Exception as error:  # noqa: BLE001 - without it the run goes on
            reason = NOT_INSTALLED if isinstance(error, ImportError) else repr(error)
            self._lack(self._name, {"cpu_pct": ["absent", reason]})
            return
        while not self._is_closing.wait(self._every_s):
            try:
                self._read(source, machine)
            except Exception as error:  # noqa: BLE001 - the loop must live
                log.debug("The machine could not be read: %r", error)

    def _read(self, source: Any, machine: Any) -> None:
        at_us = time.time_ns() // 1000
        self._put(self._name, machine.read(), at_us)
        pids = {device.id: [os.getpid()] for device in source.devices()}
        for device, reading in source.read(time.monotonic(), pids).items():
            self._put(f"device:{device}", reading.metrics, at_us)
            self._lack(f"device:{device}", {name: list(why) for name, why in reading.missing.items()})

    def _put(self, source: str, read: dict[str, float | None], at_us: int) -> None:
        there = {name: value for name, value in read.items() if value is not None}
        row: Row = (None, at_us, there, source)
        if there:
            self._writer.queue.append(row)

    def _lack(self, source: str, missing: dict[str, list[str]]) -> None:
        if missing != self._told.get(source, {}):
            self._told[source] = missing
            self._tell("missing", {"source": source, "missing": missing})
