"""Faults of NVIDIA GPUs: Xid events, uncorrected ECC errors, failed row remaps.

Read every ten seconds. Written against NVML's header; not yet run on a GPU. Each kind of fault is read by itself and
has its own reason if it cannot be read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from fourwalls.system import faults
from fourwalls.system.device_metrics import Status
from fourwalls.system.faults import Fault

EVERY_S = 10.0
KEPT = 8  # newest faults per device; a reader that polls once a second misses none
EVENTS_AT_ONCE = 64
WAIT_MS = 1  # returns pending events; does not wait for new ones
NO_EVENT = 10  # NVML_ERROR_TIMEOUT

# Field ids of nvmlDeviceGetFieldValues: double-bit errors since the driver was loaded; a failed row remap
UNCORRECTED, REMAP_FAILED = (4, 0), (145, 0)
FIELDS = [UNCORRECTED, REMAP_FAILED]

Refusal = tuple[Status, str]


class NvmlFaults:
    """Faults of each GPU so far. `gpus`: UUID -> handle; `refusal` gives status and reason of an error code."""

    def __init__(self, binding: Any, gpus: Mapping[str, Any], refusal: Callable[[int], Refusal]) -> None:
        self._nvml, self._gpus, self._refusal = binding, gpus, refusal
        self._at_s = float("-inf")
        self._seen: dict[str, deque[Fault]] = {gpu: deque(maxlen=KEPT) for gpu in gpus}
        self._counts: dict[tuple[str, int], float] = {}
        self.missing: dict[str, dict[str, Refusal]] = {gpu: {} for gpu in gpus}
        self._events = self._ask(binding.nvmlEventSetCreate)
        for gpu, handle in gpus.items():
            if refused := self._register(handle):
                self.missing[gpu]["xid"] = refused

    def newest(self, gpu: str) -> list[Fault]:
        """The newest faults, oldest first."""
        return list(self._seen[gpu])

    def poll(self, now_s: float) -> None:
        if now_s - self._at_s < EVERY_S:
            return
        self._at_s = now_s
        self._read_events()
        for gpu, handle in self._gpus.items():
            self._count(gpu, handle)

    def close(self) -> None:
        if not _is_refusal(self._events):
            self._nvml.nvmlEventSetFree(self._events)

    def _register(self, handle: Any) -> Refusal | None:
        if _is_refusal(self._events):
            return self._events
        kind = self._nvml.nvmlEventTypeXidCriticalError
        return self._ask(lambda: self._nvml.nvmlDeviceRegisterEvents(handle, kind, self._events))

    def _read_events(self) -> None:
        """Read pending events. A lost GPU gives an error, which its readings show too."""
        if _is_refusal(self._events):
            return
        for _ in range(EVENTS_AT_ONCE):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, WAIT_MS)
                gpu = self._nvml.nvmlDeviceGetUUID(event.device)
            except self._nvml.NVMLError:
                return
            found = self._seen.get(gpu.decode() if isinstance(gpu, bytes) else gpu)
            if found is not None:
                found.append(faults.fault_from_xid(int(event.eventData), time.time()))

    def _count(self, gpu: str, handle: Any) -> None:
        answer = self._ask(lambda: self._nvml.nvmlDeviceGetFieldValues(handle, FIELDS))
        if _is_refusal(answer):
            self.missing[gpu]["ecc"] = answer
            return
        for (field, _), entry in zip(FIELDS, answer):
            name = "ecc" if field == UNCORRECTED[0] else "row remap"
            if entry.nvmlReturn:
                self.missing[gpu][name] = self._refusal(entry.nvmlReturn)
                continue
            self.missing[gpu].pop(name, None)
            self._compare(gpu, field, int(entry.value.ullVal if entry.valueType == 3 else entry.value.uiVal))

    def _compare(self, gpu: str, field: int, count: int) -> None:
        """Add a fault if the count has grown. After a reset, counting starts from the new count."""
        if count > self._counts.get((gpu, field), 0):
            at = time.time()
            fault = (
                faults.fault_from_ecc_count(count, at)
                if field == UNCORRECTED[0]
                else faults.failed_remap_fault(at)
            )
            self._seen[gpu].append(fault)
        self._counts[gpu, field] = count

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._nvml.NVMLError as error:
            return self._refusal(error.value)


def _is_refusal(answer: Any) -> bool:
    return isinstance(answer, tuple)
