"""NVIDIA GPUs through NVML, with GPM on chips that have it.

Written against NVML's header and the binding (nvidia-ml-py 13.615). Not yet run on a GPU. Unknown: which fields each
chip supports, the cost per call, and GPM without root. Each metric is read by itself, so that one error costs one
metric.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from fourwalls.system.device_metrics import Status
from fourwalls.system.nvml_faults import NvmlFaults
from fourwalls.system.nvml_gpm import ID_OF, SHARES, Gpm
from fourwalls.system.nvml_slow import SlowPoll
from fourwalls.system.readings import DeviceInfo, DeviceReading, Rates

NOT_A_CPU = "a GPU has no such counter"

CHIP, SM_CLOCK = 0, 1  # NVML_TEMPERATURE_GPU, NVML_CLOCK_SM

# Field ids of nvmlDeviceGetFieldValues, each with its scope
ENERGY_MJ, MEMORY_CELSIUS = (83, 0), (82, 0)
# In order of preference. On Grace-Hopper only the module (GPU and CPU together) may be supported.
POWER_MW = {"instant": (186, 0), "1 s mean": (185, 0), "module, instant": (186, 1)}
PCIE_TX_BYTES, PCIE_RX_BYTES = (197, 0), (198, 0)
ALL_LINKS = 0xFFFFFFFF
NVLINK_TX_KIB, NVLINK_RX_KIB = (138, ALL_LINKS), (139, ALL_LINKS)
THROTTLED_NS = {
    "power_throttle_share": ((74, 0), (271, 0)),  # power cap, power brake
    "thermal_throttle_share": ((269, 0), (270, 0)),  # software and hardware thermal slowdown
    "sync_throttle_share": ((76, 0),),  # sync boost
}
COUNTERS = (  # metric, field, units of the metric per unit of the counter
    ("pcie_tx_bytes_per_s", PCIE_TX_BYTES, 1.0),
    ("pcie_rx_bytes_per_s", PCIE_RX_BYTES, 1.0),
    ("nvlink_tx_bytes_per_s", NVLINK_TX_KIB, 1024.0),
    ("nvlink_rx_bytes_per_s", NVLINK_RX_KIB, 1024.0),
)
FIELDS = [
    ENERGY_MJ, *POWER_MW.values(), MEMORY_CELSIUS, *(row[1] for row in COUNTERS),
    *(entry for entries in THROTTLED_NS.values() for entry in entries),
]  # fmt: skip

CALLS = {  # metric -> the call that reads it
    "utilisation_pct": "nvmlDeviceGetUtilizationRates", "memory_used_bytes": "nvmlDeviceGetMemoryInfo_v2",
    "temperature_celsius": "nvmlDeviceGetTemperature", "sm_clock_hz": "nvmlDeviceGetClockInfo",
}  # fmt: skip

STATUS_OF_CODE: dict[int, Status] = {3: "unsupported", 13: "unsupported", 25: "unsupported", 26: "unsupported",
                               4: "denied", 9: "absent", 12: "absent", 21: "absent"}  # fmt: skip

Answer = Union[float, tuple[Status, str]]


@dataclass
class Gpu:
    handle: Any
    info: DeviceInfo


class Nvml:
    """Fetches handles once, because that takes longer than most readings. Raises NVMLError without a driver."""

    def __init__(self, binding: Any) -> None:
        self._nvml = binding
        self._rates = Rates()
        binding.nvmlInit()
        handles = (binding.nvmlDeviceGetHandleByIndex(i) for i in range(binding.nvmlDeviceGetCount()))
        self._gpus = [Gpu(handle, self._describe(index, handle)) for index, handle in enumerate(handles)]
        by_id = {gpu.info.id: gpu.handle for gpu in self._gpus}
        self._gpm = Gpm(binding, by_id, self._refusal)
        self._slow = SlowPoll(binding, self._ask, self._entry)
        self._faults = NvmlFaults(binding, by_id, self._refusal)

    def devices(self) -> list[DeviceInfo]:
        return [gpu.info for gpu in self._gpus]

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, DeviceReading]:
        self._faults.poll(now_s)
        return {gpu.info.id: self._read(gpu, now_s) for gpu in self._gpus}

    def close(self) -> None:
        self._faults.close()
        self._gpm.close()
        self._nvml.nvmlShutdown()

    def versions(self) -> dict[str, str]:
        """Versions of the driver and of the newest CUDA that it supports."""
        cuda = int(self._nvml.nvmlSystemGetCudaDriverVersion_v2())
        return {
            "driver": _text(self._nvml.nvmlSystemGetDriverVersion()),
            "cuda_driver": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }

    def _describe(self, index: int, handle: Any) -> DeviceInfo:
        nvml = self._nvml
        memory = self._ask(lambda: self._memory(handle).total)
        capability = self._ask(lambda: ".".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(handle))))
        limit_w = self._ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000)
        detail = {"compute_capability": capability, "power_limit_w": limit_w}
        return DeviceInfo(
            id=_text(nvml.nvmlDeviceGetUUID(handle)),
            kind="cuda",
            index=index,
            name=_text(nvml.nvmlDeviceGetName(handle)),
            memory_bytes=None if isinstance(memory, tuple) else int(memory),
            cores=None,
            detail={key: value for key, value in detail.items() if not isinstance(value, tuple)},
        )

    def _read(self, gpu: Gpu, now_s: float) -> DeviceReading:
        nvml, reading, began_s = self._nvml, DeviceReading(sources=dict(CALLS)), time.perf_counter()
        fields, gpm = self._fields(gpu), self._gpm.read(gpu.info.id, now_s)
        self._put_power(reading, fields)
        self._put_energy(reading, fields[ENERGY_MJ])
        _put(reading, "memory_temperature_celsius", fields[MEMORY_CELSIUS])
        for metric, entry, scale in COUNTERS:
            reading.sources[metric] = f"nvml.field.{entry[0]}"
            self._put_rate(reading, gpu, metric, fields[entry], now_s, scale)
            self._put_in_place(reading, metric, gpm[metric])
        for metric, entries in THROTTLED_NS.items():
            reading.sources[metric] = "nvml.field." + "+".join(str(number) for number, _ in entries)
            self._put_rate(reading, gpu, metric, _sum([fields[entry] for entry in entries]), now_s, 1e-9)
        _put(
            reading, "utilisation_pct", self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(gpu.handle).gpu)
        )
        _put(reading, "memory_used_bytes", self._ask(lambda: self._memory(gpu.handle).used))
        _put(
            reading, "temperature_celsius", self._ask(lambda: nvml.nvmlDeviceGetTemperature(gpu.handle, CHIP))
        )
        _put(
            reading, "sm_clock_hz", self._ask(lambda: nvml.nvmlDeviceGetClockInfo(gpu.handle, SM_CLOCK)), 1e6
        )
        for metric in SHARES.values():
            reading.sources[metric] = f"nvml.gpm.{ID_OF[metric]}"
            _put(reading, metric, gpm[metric])
        slow, reading.has_new_slow = self._slow.read(gpu.info.id, gpu.handle, now_s)
        reading.slow, reading.facts = dict(slow.metrics), dict(slow.facts)
        reading.missing |= slow.missing
        reading.faults = self._faults.newest(gpu.info.id)
        reading.faults_missing = dict(self._faults.missing[gpu.info.id])
        reading.metrics["sampling_s"] = time.perf_counter() - began_s
        return reading.fill_unsupported(NOT_A_CPU)

    def _memory(self, handle: Any) -> Any:
        """Version 2, because version 1 counts memory that the driver reserves as used."""
        return self._nvml.nvmlDeviceGetMemoryInfo(handle, version=self._nvml.nvmlMemory_v2)

    def _fields(self, gpu: Gpu) -> dict[tuple[int, int], Answer]:
        """All fields in one driver call; each entry has its own return code."""
        answer = self._ask(lambda: self._nvml.nvmlDeviceGetFieldValues(gpu.handle, FIELDS))
        if isinstance(answer, tuple):
            return dict.fromkeys(FIELDS, answer)
        return {asked: self._entry(entry) for asked, entry in zip(FIELDS, answer)}

    def _entry(self, entry: Any) -> Answer:
        return self._refusal(entry.nvmlReturn) if entry.nvmlReturn else _value(entry)

    def _put_power(self, reading: DeviceReading, fields: dict[tuple[int, int], Answer]) -> None:
        """The first supported kind of power; if none is supported, the reason for the first kind."""
        for kind, asked in POWER_MW.items():
            if not isinstance(fields[asked], tuple):
                reading.sources["power_w"] = f"nvml.field.{asked[0]} ({kind})"
                return _put(reading, "power_w", fields[asked], 1e-3)
        return _put(reading, "power_w", fields[POWER_MW["instant"]])

    def _put_in_place(self, reading: DeviceReading, metric: str, share: Answer) -> None:
        """Use the rate from GPM if the driver refuses the byte counter."""
        status = reading.missing.get(metric, ("", ""))[0]
        if status not in ("", "absent", "error") and not isinstance(share, tuple):
            del reading.missing[metric]
            reading.metrics[metric] = share
            reading.sources[metric] = f"nvml.gpm.{ID_OF[metric]}"

    def _put_energy(self, reading: DeviceReading, millijoules: Answer) -> None:
        if isinstance(millijoules, tuple):
            reading.set_missing(*millijoules, "energy_j")
        else:
            reading.energy_counter_j = millijoules * 1e-3

    def _put_rate(
        self, reading: DeviceReading, gpu: Gpu, metric: str, counter: Answer, now_s: float, scale: float
    ) -> None:
        if isinstance(counter, tuple):
            reading.set_missing(*counter, metric)
        else:
            self._rates.put(reading, metric, (gpu.info.id, metric), counter, now_s, scale)

    def _ask(self, call: Callable[[], Any]) -> Any:
        """The result of the call, or the status and reason of its error."""
        try:
            return call()
        except self._nvml.NVMLError as error:
            return self._refusal(error.value)

    def _refusal(self, code: int) -> tuple[Status, str]:
        return STATUS_OF_CODE.get(code, "error"), f"NVML: {_text(self._nvml.nvmlErrorString(code))}"


def _value(entry: Any) -> float:
    """The member of the union that the type of the entry selects."""
    members = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
    return float(getattr(entry.value, members[entry.valueType]))


def _sum(answers: list[Answer]) -> Answer:
    """The sum, or the first error: with one unknown part the sum is unknown."""
    refusal = next((answer for answer in answers if isinstance(answer, tuple)), None)
    return refusal or sum((answer for answer in answers if not isinstance(answer, tuple)), 0.0)


def _put(reading: DeviceReading, metric: str, answer: Answer, scale: float = 1.0) -> None:
    if isinstance(answer, tuple):
        reading.set_missing(*answer, metric)
    else:
        reading.metrics[metric] = answer * scale


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
