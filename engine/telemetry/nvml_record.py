"""Recording and replay of NVML calls, for tests on machines without a GPU.

`python -m engine.telemetry.nvml_record FILE [--ticks 30]` on a machine with NVIDIA GPUs reads them like the sampler,
once a second, and writes FILE: a first line with device, driver and date, then one line per call. `Replay` replaces the
binding and returns the recorded results.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FORMAT = 1
VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")  # by NVML's value type
# Members of results that are structs; every other result is a plain value or a handle.
STRUCTS: dict[str, tuple[str, ...]] = {
    "nvmlDeviceGetMemoryInfo": ("total", "reserved", "free", "used"),
    "nvmlDeviceGetUtilizationRates": ("gpu", "memory"),
    "nvmlGpmQueryDeviceSupport": ("isSupportedDevice",),
    "nvmlEventSetWait_v2": ("eventType", "eventData"),
}
ARRAYS = {"nvmlDeviceGetComputeRunningProcesses_v3"}  # only their number is recorded, not the processes


class Recording:
    """A binding that forwards every call and records its result."""

    def __init__(self, binding: Any, write: Callable[[dict[str, Any]], None]) -> None:
        self._binding, self._write = binding, write
        self.NVMLError = binding.NVMLError

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._binding, name)
        is_asked = name.startswith("nvml") and callable(found) and name != "nvmlErrorString"
        return self._recorded(name, found) if is_asked else found

    def _recorded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            try:
                answer = call(*args, **kwargs)
            except self.NVMLError as error:
                self._write({"call": name, "error": error.value})
                raise
            self._write({"call": name, "answer": _to_plain(name, answer)})
            return answer

        return recorded


class ReplayError(Exception):
    """Has the form of the binding's error."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}, replayed")
        self.value = value


class Replay:
    """A binding that returns the recorded results in order. Raises AssertionError for a call that differs from the
    recorded one: the code has changed, and a new recording is needed."""

    NVMLError = ReplayError
    nvmlMemory_v2 = 0x02000028
    nvmlEventTypeXidCriticalError = 8
    NVML_GPM_METRICS_GET_VERSION = 1

    def __init__(self, path: Path) -> None:
        head, *lines = path.read_text().splitlines()
        self.about: dict[str, Any] = json.loads(head)
        assert self.about["format"] == FORMAT, (
            f"{path} has format {self.about['format']}, this reads {FORMAT}"
        )
        self._calls = [json.loads(line) for line in lines if line]
        self._next = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self._answer(name)

    def nvmlErrorString(self, code: int) -> str:
        return f"error {code}"

    def c_nvmlGpmMetricsGet_t(self) -> Any:
        entries = [SimpleNamespace(metricId=0, nvmlReturn=0, value=0.0) for _ in range(500)]
        return SimpleNamespace(version=0, numMetrics=0, sample1=None, sample2=None, metrics=entries)

    def _answer(self, name: str) -> Any:
        assert self._next < len(self._calls), f"{name}: the recording has no more calls"
        recorded = self._calls[self._next]
        assert recorded["call"] == name, (
            f"call {self._next + 1} was {recorded['call']} when it was recorded, now {name}"
        )
        self._next += 1
        if "error" in recorded:
            raise ReplayError(recorded["error"])
        return _from_plain(name, recorded["answer"])


def _to_plain(name: str, answer: Any) -> Any:
    if name == "nvmlDeviceGetFieldValues":
        return [
            [entry.fieldId, entry.nvmlReturn, entry.valueType, getattr(entry.value, VALUES[entry.valueType])]
            for entry in answer
        ]
    if name == "nvmlGpmMetricsGet":
        return [[e.metricId, e.nvmlReturn, e.value] for e in answer.metrics[: answer.numMetrics]]
    if name in STRUCTS:
        return {member: getattr(answer, member) for member in STRUCTS[name] if hasattr(answer, member)}
    if name in ARRAYS:
        return len(answer)
    if isinstance(answer, bytes):
        return answer.decode()
    return answer if isinstance(answer, int | float | str | tuple | None) else "handle"


def _from_plain(name: str, plain: Any) -> Any:
    if name == "nvmlDeviceGetFieldValues":
        return [
            SimpleNamespace(fieldId=f, nvmlReturn=r, valueType=t, value=SimpleNamespace(**{VALUES[t]: value}))
            for f, r, t, value in plain
        ]
    if name == "nvmlGpmMetricsGet":
        entries = [SimpleNamespace(metricId=i, nvmlReturn=r, value=value) for i, r, value in plain]
        return SimpleNamespace(metrics=entries)
    if name in STRUCTS:
        return SimpleNamespace(**plain, device="handle")
    return [None] * plain if name in ARRAYS else plain


def record(
    binding: Any, path: Path, about: dict[str, Any], ticks: int, wait: Callable[[float], None]
) -> None:
    """Read all GPUs `ticks` times, one second apart, and record every call."""
    from fourwalls.system.nvml import Nvml

    with path.open("w") as file:

        def write(line: dict[str, Any]) -> None:
            file.write(json.dumps(line) + "\n")

        write({"format": FORMAT, **about})
        nvml = Nvml(Recording(binding, write))
        for second in range(ticks):
            nvml.read(float(second), {})
            wait(1.0)
        nvml.close()


def main(arguments: list[str]) -> int:
    import pynvml

    parser = argparse.ArgumentParser(
        prog="python -m engine.telemetry.nvml_record", description="Record the results of NVML calls."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--ticks", type=int, default=30, help="seconds to record (default 30)")
    options = parser.parse_args(arguments)
    try:
        pynvml.nvmlInit()
        driver, device = pynvml.nvmlSystemGetDriverVersion(), pynvml.nvmlDeviceGetHandleByIndex(0)
        about = {"kind": "recorded", "device": pynvml.nvmlDeviceGetName(device), "driver": driver,
                 "date": time.strftime("%Y-%m-%d"), "ticks": options.ticks}  # fmt: skip
    except pynvml.NVMLError as error:
        sys.stderr.write(f"Nothing to record: {error}.\n")
        return 1
    record(pynvml, options.file, about, options.ticks, time.sleep)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
