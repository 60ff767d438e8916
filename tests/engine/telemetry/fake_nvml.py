"""A FAKE of the NVML binding, for machines without a GPU.

Its results have the form that the header documents. Tests with it check what our code does with results and errors,
and nothing about a real driver.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

NOT_SUPPORTED, NO_PERMISSION, GPU_IS_LOST = 3, 4, 15
DOUBLE, UNSIGNED, UNSIGNED_LONG_LONG = 0, 1, 3
TIMEOUT = 10
TEXTS = {
    10: "Timeout",
    3: "Not Supported",
    4: "Insufficient Permissions",
    12: "NVML Shared Library Not Found",
    15: "GPU is lost",
}


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(TEXTS.get(value, "Unknown Error"))
        self.value = value


class FakeNvml:
    """One GPU whose counters the test sets; `refuse` maps a call's name, a field id or a GPM id to an error code."""

    NVMLError = NVMLError
    nvmlMemory_v2 = 0x02000028
    NVML_GPM_METRICS_GET_VERSION = 1
    nvmlEventTypeXidCriticalError = 8

    def __init__(self, count: int = 1, has_gpm: bool = True) -> None:
        self.count, self.has_gpm = count, has_gpm
        self.refuse: dict[Any, int] = {}
        self.fields: dict[int, tuple[str, int, float]] = {
            83: ("ullVal", UNSIGNED_LONG_LONG, 5_000_000),
            186: ("uiVal", UNSIGNED, 412_500),
            185: ("uiVal", UNSIGNED, 400_000),
            197: ("ullVal", UNSIGNED_LONG_LONG, 1_000),
            198: ("ullVal", UNSIGNED_LONG_LONG, 2_000),
            138: ("ullVal", UNSIGNED_LONG_LONG, 10),
            139: ("ullVal", UNSIGNED_LONG_LONG, 20),
            74: ("ullVal", UNSIGNED_LONG_LONG, 0),
            269: ("ullVal", UNSIGNED_LONG_LONG, 0),
            270: ("ullVal", UNSIGNED_LONG_LONG, 0),
            271: ("ullVal", UNSIGNED_LONG_LONG, 0),
            76: ("ullVal", UNSIGNED_LONG_LONG, 0),
            82: ("uiVal", UNSIGNED, 74),
            3: ("ullVal", UNSIGNED_LONG_LONG, 2),
            94: ("uiVal", UNSIGNED, 5),
            4: ("ullVal", UNSIGNED_LONG_LONG, 0),
            145: ("uiVal", UNSIGNED, 0),
        }
        self.xids: list[tuple[int, int]] = []  # device index, number: not yet fetched
        self.registered: list[tuple[str, int]] = []
        self.event_sets = 0
        self.gpm = {2: 91.0, 3: 25.0, 5: 44.0, 10: 38.5, 20: 1.0, 21: 2.0, 60: 3.0, 61: 4.0}
        self.pcie = [4, 8, 5, 16]  # generation and width: current, best
        self.links = 2
        self.calls: list[str] = []
        self.field_requests: list[list[tuple[int, int]]] = []
        self.gpm_pairs: list[tuple[int, int]] = []
        self.is_open = False
        self._samples = 0
        self._clock = 0

    def set(self, field: int, value: float) -> None:
        member, kind, _ = self.fields[field]
        self.fields[field] = (member, kind, value)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refuse:
            raise NVMLError(self.refuse[name])

    def nvmlInit(self) -> None:
        self._called("nvmlInit")
        self.is_open = True

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def nvmlErrorString(self, code: int) -> str:
        return TEXTS.get(code, "Unknown Error")

    def nvmlDeviceGetCount(self) -> int:
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        self._called("nvmlDeviceGetHandleByIndex")
        return f"handle{index}"

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle: str) -> bytes:
        return b"NVIDIA H100 80GB HBM3"  # bytes in older bindings

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> tuple[int, int]:
        return (9, 0)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: str) -> int:
        self._called("nvmlDeviceGetEnforcedPowerLimit")
        return 700_000

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return 13010

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int | None = None) -> SimpleNamespace:
        self._called("nvmlDeviceGetMemoryInfo")
        assert version == self.nvmlMemory_v2
        return SimpleNamespace(total=85_520_809_984, reserved=600_000_000, used=12_000_000_000)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        self._called("nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=97, memory=40)

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        self._called("nvmlDeviceGetTemperature")
        return 61

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:
        self._called("nvmlDeviceGetClockInfo")
        assert kind == 1  # the SM clock
        return 1755

    def nvmlDeviceGetFieldValues(self, handle: str, entries: list[tuple[int, int]]) -> list[SimpleNamespace]:
        self._called("nvmlDeviceGetFieldValues")
        self.field_requests.append(entries)
        return [self._field(number, scope) for number, scope in entries]

    def _field(self, number: int, scope: int) -> SimpleNamespace:
        member, kind, value = self.fields[number]
        members = dict.fromkeys(("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal"), -1)
        union = SimpleNamespace(**members | {member: value})
        return SimpleNamespace(
            fieldId=number,
            nvmlReturn=self.refuse.get((number, scope), self.refuse.get(number, 0)),
            valueType=kind,
            value=union,
        )

    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle: str) -> int:
        self._called("nvmlDeviceGetCurrPcieLinkGeneration")
        return self.pcie[0]

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: str) -> int:
        return self.pcie[1]

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle: str) -> int:
        return self.pcie[2]

    def nvmlDeviceGetMaxPcieLinkWidth(self, handle: str) -> int:
        return self.pcie[3]

    def nvmlDeviceGetNvLinkState(self, handle: str, link: int) -> int:
        if link >= self.links:
            raise NVMLError(NOT_SUPPORTED)
        return 1

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: str) -> list[SimpleNamespace]:
        self._called("nvmlDeviceGetComputeRunningProcesses_v3")
        return [SimpleNamespace(pid=4711, usedGpuMemory=1 << 30)]

    def nvmlEventSetCreate(self) -> str:
        self._called("nvmlEventSetCreate")
        self.event_sets += 1
        return "events"

    def nvmlEventSetFree(self, events: str) -> None:
        self.event_sets -= 1

    def nvmlDeviceRegisterEvents(self, handle: str, kinds: int, events: str) -> None:
        self._called("nvmlDeviceRegisterEvents")
        self.registered.append((handle, kinds))

    def nvmlEventSetWait_v2(self, events: str, timeout_ms: int) -> SimpleNamespace:
        assert 0 < timeout_ms < 10  # it blocks the sampler's tick
        self._called("nvmlEventSetWait_v2")
        if not self.xids:
            raise NVMLError(TIMEOUT)
        index, number = self.xids.pop(0)
        return SimpleNamespace(device=f"handle{index}", eventType=8, eventData=number)

    def nvmlGpmQueryDeviceSupport(self, handle: str) -> SimpleNamespace:
        self._called("nvmlGpmQueryDeviceSupport")
        return SimpleNamespace(isSupportedDevice=int(self.has_gpm))

    def nvmlGpmSampleAlloc(self) -> SimpleNamespace:
        self._samples += 1
        return SimpleNamespace(taken=0)

    def nvmlGpmSampleGet(self, handle: str, sample: SimpleNamespace) -> SimpleNamespace:
        self._called("nvmlGpmSampleGet")
        self._clock += 1
        sample.taken = self._clock
        return sample

    def nvmlGpmSampleFree(self, sample: SimpleNamespace) -> None:
        self._samples -= 1

    def c_nvmlGpmMetricsGet_t(self) -> SimpleNamespace:
        entries = [SimpleNamespace(metricId=0, nvmlReturn=0, value=0.0) for _ in range(477)]
        return SimpleNamespace(version=0, numMetrics=0, sample1=None, sample2=None, metrics=entries)

    def nvmlGpmMetricsGet(self, request: SimpleNamespace) -> SimpleNamespace:
        self._called("nvmlGpmMetricsGet")
        self.gpm_pairs.append((request.sample1.taken, request.sample2.taken))
        for entry in request.metrics[: request.numMetrics]:
            entry.nvmlReturn = self.refuse.get(("gpm", entry.metricId), 0)
            entry.value = self.gpm[entry.metricId]
        return request
