"""GPM, the activity counters of Hopper and later chips.

Each share covers the time since the previous poll, so that no time is missed. Written against NVML's header; not yet
run on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from fourwalls.system.device_metrics import Status

Answer = Union[float, tuple[Status, str]]

SHARES = {
    2: "sm_active_share",
    3: "sm_occupancy_share",
    5: "tensor_active_share",
    10: "memory_bandwidth_share",
}
# In MiB/s; used if the driver refuses the byte counters of the fields. TX is device to host.
RATES = {
    20: "pcie_tx_bytes_per_s",
    21: "pcie_rx_bytes_per_s",
    60: "nvlink_rx_bytes_per_s",
    61: "nvlink_tx_bytes_per_s",
}
SCALES = dict.fromkeys(SHARES, 0.01) | dict.fromkeys(RATES, float(2**20))
NAMES = SHARES | RATES
ID_OF = {name: number for number, name in NAMES.items()}
INTERVAL_S = 0.15  # the header requires more than 100 ms between two samples
FIRST: tuple[Status, str] = ("absent", "a share needs two samples, and this is the first")


@dataclass
class _Pair:
    """The two samples of one GPU, the older first, or the reason why there are none."""

    handle: Any
    samples: list[Any] = field(default_factory=list)
    refusal: tuple[Status, str] | None = None
    at_s: float = float("-inf")
    answers: dict[str, Answer] = field(default_factory=dict)


class Gpm:
    """`gpus`: UUID -> handle; `refusal` gives status and reason of an error code."""

    def __init__(
        self, binding: Any, gpus: Mapping[str, Any], refusal: Callable[[int], tuple[Status, str]]
    ) -> None:
        self._nvml, self._refusal = binding, refusal
        self._pairs = {gpu: self._open(handle) for gpu, handle in gpus.items()}

    def read(self, gpu: str, now_s: float) -> dict[str, Answer]:
        """Every metric of NAMES: its value in SI units, or status and reason."""
        pair = self._pairs[gpu]
        if pair.refusal:
            return dict.fromkeys(NAMES.values(), pair.refusal)
        if now_s - pair.at_s < INTERVAL_S:
            return pair.answers
        older, newer = pair.samples
        # Overwrite the older of the two samples, which becomes the newer one.
        taken = self._ask(lambda: self._nvml.nvmlGpmSampleGet(pair.handle, older))
        if isinstance(taken, tuple):
            return dict.fromkeys(NAMES.values(), taken)
        is_first = pair.at_s == float("-inf")
        pair.samples, pair.at_s = [newer, older], now_s
        pair.answers = dict.fromkeys(NAMES.values(), FIRST) if is_first else self._between(newer, older)
        return pair.answers

    def close(self) -> None:
        for pair in self._pairs.values():
            for sample in pair.samples:
                self._nvml.nvmlGpmSampleFree(sample)

    def _open(self, handle: Any) -> _Pair:
        nvml = self._nvml
        support = self._ask(lambda: nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice)
        if isinstance(support, tuple):
            return _Pair(handle, refusal=support)
        if not support:
            return _Pair(
                handle, refusal=("unsupported", "this chip has no GPM counters (only Hopper and later)")
            )
        return _Pair(handle, [nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()])

    def _between(self, begin: Any, end: Any) -> dict[str, Answer]:
        request = self._nvml.c_nvmlGpmMetricsGet_t()
        request.version = self._nvml.NVML_GPM_METRICS_GET_VERSION
        request.numMetrics = len(NAMES)  # the length of the array depends on the version of the binding
        request.sample1, request.sample2 = begin, end
        for position, number in enumerate(NAMES):
            request.metrics[position].metricId = number
        answer = self._ask(lambda: self._nvml.nvmlGpmMetricsGet(request))
        if isinstance(answer, tuple):
            return dict.fromkeys(NAMES.values(), answer)
        entries = zip(NAMES.items(), answer.metrics)
        return {
            name: self._refusal(entry.nvmlReturn) if entry.nvmlReturn else entry.value * SCALES[number]
            for (number, name), entry in entries
        }

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._nvml.NVMLError as error:
            return self._refusal(error.value)
