"""Sampler of host metrics, with the same readers as the agent's."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fourwalls import limits
from fourwalls.frames import LogRow
from fourwalls.writer import RowWriter

NOT_INSTALLED = "the package that reads host metrics (engine.telemetry) is not installed"

log = logging.getLogger("fourwalls")


class HostSampler:
    """Reads metrics in a thread of its own. A missing metric is reported once with the reason, and never as 0."""

    def __init__(
        self, send_message: Callable[[str, dict[str, Any]], None], writer: RowWriter, every_s: float
    ) -> None:
        self._send_message, self._writer, self._every_s = send_message, writer, every_s
        self._reported: dict[str, dict[str, Any]] = {}
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

            source, machine = open_source()[0], Host(Path.cwd())
        except Exception as error:  # noqa: BLE001 - the run continues without host metrics
            reason = NOT_INSTALLED if isinstance(error, ImportError) else repr(error)
            self._report_missing(self._name, {"cpu_pct": ["absent", reason]})
            return
        while not self._is_closing.wait(self._every_s):
            try:
                self._read(source, machine)
            except Exception as error:  # noqa: BLE001 - the loop must survive
                log.debug("The host metrics could not be read: %r", error)

    def _read(self, source: Any, machine: Any) -> None:
        at_us = time.time_ns() // 1000
        self._queue_metrics(self._name, machine.read(), at_us)
        pids = {device.id: [os.getpid()] for device in source.devices()}
        for device, reading in source.read(time.monotonic(), pids).items():
            self._queue_metrics(f"device:{device}", reading.metrics, at_us)
            self._report_missing(
                f"device:{device}", {name: list(why) for name, why in reading.missing.items()}
            )

    def _queue_metrics(self, source: str, read: dict[str, float | None], at_us: int) -> None:
        values = {name: value for name, value in read.items() if value is not None}
        row: LogRow = (None, at_us, values, source)
        if values:
            self._writer.queue.append(row)

    def _report_missing(self, source: str, missing: dict[str, list[str]]) -> None:
        if missing != self._reported.get(source, {}):
            self._reported[source] = missing
            self._send_message("missing", {"source": source, "missing": missing})
