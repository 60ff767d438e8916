"""Sampler of the machine under a script: GPUs, CPU, memory, pressure, power."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fourwalls import limits
from fourwalls.frames import LogRow
from fourwalls.launch import Launch
from fourwalls.system import procfs
from fourwalls.system.energy import Energy
from fourwalls.system.readings import DeviceInfo, DeviceReading, DeviceSource
from fourwalls.writer import RowWriter

FIRST_PAUSE_S = 0.5  # rates need two readings
COST_SHARE = 0.001  # of one core, at most: expensive readings are made less often
RUN = "run"
HOST_METRICS = (
    "cpu_pct",
    "memory_used_bytes",
    "load_1min",
    "disk_free_bytes",
)  # pressures are of its CPU device

log = logging.getLogger("fourwalls")
Missing = dict[str, list[str]]


class HostSampler:
    """Reads in a thread of its own. The first rank of a host reads the host, its CPU device and the GPUs; every other
    rank its own process and GPU, so that each is read once. A missing metric is reported once with the reason, and
    never as 0."""

    def __init__(
        self,
        send_message: Callable[[str, dict[str, Any]], None],
        writer: RowWriter,
        every_s: float,
        process: Launch,
    ) -> None:
        self._send_message, self._writer, self._every_s = send_message, writer, every_s
        self._process = process
        self._reported: dict[str, Missing] = {}
        self._energy, self._began_s = Energy(), time.monotonic()
        self._is_closing = threading.Event()
        self._name = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[: limits.SOURCE_CHARS] or "unnamed"
        self._thread = threading.Thread(target=self._work, name="fourwalls-host", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closing.set()

    def _work(self) -> None:
        try:
            sources, host = self._open()
        except Exception as error:  # noqa: BLE001 - the run continues without host metrics
            self._report_missing(f"host:{self._name}", {"cpu_pct": ["absent", repr(error)]})
            return
        pause_s, is_second = 0.0, False
        while not self._is_closing.wait(pause_s):
            began_s = time.thread_time()
            try:
                self._read(sources, host)
            except Exception as error:  # noqa: BLE001 - the loop must survive
                log.debug("The host metrics could not be read: %r", error)
            cost_s = time.thread_time() - began_s
            pause_s = max(self._every_s, cost_s / COST_SHARE) if is_second else FIRST_PAUSE_S
            is_second = True

    def _open(self) -> tuple[list[DeviceSource], Any]:
        """The sources of this rank, and the reader of the host for the first rank of it."""
        from fourwalls.system import portable, sources
        from fourwalls.system.cpu import Cpu
        from fourwalls.system.host import Host

        is_first = self._process.local_rank == 0
        gpus, driver = sources.open_gpus()
        found: list[DeviceSource] = [gpus] if gpus else []
        if is_first:
            found.append(Cpu(1, reads_pss=False) if procfs.HAS_PROC else portable.PortableCpu())
            self._send_description(found, driver)
        return found, Host(Path.cwd()) if is_first and procfs.HAS_PROC else None

    def _send_description(self, found: Sequence[DeviceSource], driver: dict[str, str]) -> None:
        from fourwalls.system import host

        devices = [device for source in found for device in self._select(source.devices())]
        self._send_message(
            "host",
            {
                "name": self._name,
                "facts": {
                    "cpu": host.cpu_name(),
                    "cores": host.cores(),
                    "threads": count_threads(),
                    **driver,
                },
                "devices": [
                    {
                        "id": device.id,
                        "kind": device.kind,
                        "name": device.name,
                        "index": device.index,
                        "memory_bytes": device.memory_bytes,
                        "cores": device.cores,
                    }
                    for device in devices
                ],
            },
        )

    def _select(self, devices: Sequence[DeviceInfo]) -> list[DeviceInfo]:
        """The devices that this rank reads."""
        if not devices or devices[0].kind != "cuda":
            return list(devices)
        visible = select_visible(devices, os.environ.get("CUDA_VISIBLE_DEVICES"))
        if self._process.size <= 1 or len(visible) <= 1:
            return visible
        return visible[self._process.local_rank : self._process.local_rank + 1]

    def _read(self, sources: Sequence[DeviceSource], host: Any) -> None:
        at_us, now_s = time.time_ns() // 1000, time.monotonic()
        if host is not None:
            read = host.read()
            self._queue_metrics(f"host:{self._name}", {name: read[name] for name in HOST_METRICS}, at_us)
        if own := procfs.stat(os.getpid()):
            self._queue_metrics(f"rank{self._process.rank}", {"rss_bytes": float(own.rss_bytes)}, at_us)
        pids = self._find_processes()
        for source in sources:
            devices = source.devices()
            wanted = {device.id for device in self._select(devices)}
            for device, reading in source.read(now_s, {one.id: pids for one in devices}).items():
                if device in wanted:
                    self._queue_reading(device, reading, at_us, now_s)

    def _find_processes(self) -> list[int]:
        """This process and those below it, such as workers that load data; of several ranks all of this host."""
        roots = procfs.children(os.getppid()) if self._process.size > 1 else []
        found = dict.fromkeys([os.getpid(), *roots])
        return list(dict.fromkeys(pid for root in found for pid in procfs.tree(root)))

    def _queue_reading(self, device: str, reading: DeviceReading, at_us: int, now_s: float) -> None:
        self._energy.put(reading, RUN, device, now_s - self._began_s)
        values: dict[str, float | None] = {**reading.metrics}
        if reading.has_new_slow:
            values.update(reading.slow)
        self._queue_metrics(f"device:{device}", values, at_us)
        # What a device of its kind never has is no news; neither is that a rate needs a second reading.
        missing = {name: list(why) for name, why in reading.missing.items() if why[0] != "unsupported"}
        if now_s - self._began_s > FIRST_PAUSE_S / 2:
            self._report_missing(f"device:{device}", missing)

    def _queue_metrics(self, source: str, read: dict[str, float | None], at_us: int) -> None:
        values = {name: value for name, value in read.items() if value is not None}
        row: LogRow = (None, at_us, values, source)
        if values:
            self._writer.put(row)

    def _report_missing(self, source: str, missing: Missing) -> None:
        if missing != self._reported.get(source, {}):
            self._reported[source] = missing
            self._send_message("missing", {"source": source, "missing": missing})


def select_visible(devices: Sequence[DeviceInfo], visible: str | None) -> list[DeviceInfo]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, by index or by the beginning of their UUID; None: all of them."""
    if visible is None:
        return list(devices)
    found = []
    for word in visible.replace(" ", "").split(","):
        index = int(word) if word.isdigit() else -1
        match = [one for one in devices if one.index == index or (word and one.id.startswith(word))]
        if not match:
            break  # as CUDA does: what follows an invalid entry is not visible
        found += [one for one in match if one not in found]
    return found


def count_threads() -> int | None:
    """The threads that compute in this process, as torch or OMP_NUM_THREADS say; None if neither does."""
    torch = sys.modules.get("torch")  # never imported here
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() else None
