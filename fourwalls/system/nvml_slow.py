"""GPU readings every ten seconds: links, corrected errors, processes.

These change slowly or take long to read. Written against NVML's header; not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fourwalls.system.device_metrics import Status

EVERY_S = 10.0
LINKS_LIMIT = 18  # NVLinks of one GPU, at most
CORRECTED, REPLAYS = (3, 0), (94, 0)  # single-bit errors since the driver was loaded; PCIe packets sent again
FIELDS = {"memory_errors_corrected": CORRECTED, "pcie_replays": REPLAYS}

Answer = Any  # a value, or status and reason of an error


@dataclass
class Slow:
    """`facts` are shown on pages: they are no metrics and have no history."""

    metrics: dict[str, float] = field(default_factory=dict)
    missing: dict[str, tuple[Status, str]] = field(default_factory=dict)
    facts: dict[str, str | int] = field(default_factory=dict)


class SlowPoll:
    """`ask` makes a call and returns its result or its error; `value_of` reads the entry of a field."""

    def __init__(
        self, binding: Any, ask: Callable[[Callable[[], Any]], Answer], value_of: Callable[[Any], Answer]
    ) -> None:
        self._nvml, self._ask, self._value_of = binding, ask, value_of
        self._at_s: dict[str, float] = {}
        self._last: dict[str, Slow] = {}

    def read(self, gpu: str, handle: Any, now_s: float) -> tuple[Slow, bool]:
        """The newest readings, and whether this call read them."""
        if now_s - self._at_s.get(gpu, float("-inf")) < EVERY_S:
            return self._last[gpu], False
        self._at_s[gpu] = now_s
        slow = self._last[gpu] = Slow()
        self._read_fields(slow, handle)
        self._read_pcie(slow, handle)
        self._read_links(slow, handle)
        self._read_processes(slow, handle)
        return slow, True

    def _read_fields(self, slow: Slow, handle: Any) -> None:
        answer = self._ask(lambda: self._nvml.nvmlDeviceGetFieldValues(handle, list(FIELDS.values())))
        values = [answer] * len(FIELDS) if isinstance(answer, tuple) else [self._value_of(e) for e in answer]
        for name, value in zip(FIELDS, values):
            _put(slow, name, value)

    def _read_pcie(self, slow: Slow, handle: Any) -> None:
        """A link slows down while it is idle, so a share below 1 is meaningful only under load."""
        nvml = self._nvml
        calls = (
            nvml.nvmlDeviceGetCurrPcieLinkGeneration, nvml.nvmlDeviceGetCurrPcieLinkWidth,
            nvml.nvmlDeviceGetMaxPcieLinkGeneration, nvml.nvmlDeviceGetMaxPcieLinkWidth,
        )  # fmt: skip
        answers = [self._ask(partial(call, handle)) for call in calls]
        refusal = next((answer for answer in answers if isinstance(answer, tuple)), None)
        if refusal:
            slow.missing["pcie_link_share"] = refusal
            return
        generation, width, best_generation, best_width = answers
        # Each generation doubles the rate per lane.
        share = 2.0 ** (generation - best_generation) * width / best_width
        slow.metrics["pcie_link_share"] = share
        slow.facts["PCIe"] = f"generation {generation} x{width} of {best_generation} x{best_width}"

    def _read_links(self, slow: Slow, handle: Any) -> None:
        active = 0
        for link in range(LINKS_LIMIT):
            state = self._ask(partial(self._nvml.nvmlDeviceGetNvLinkState, handle, link))
            if isinstance(state, tuple):
                break  # no such link
            active += bool(state)
        if active:
            slow.facts["NVLinks"] = active

    def _read_processes(self, slow: Slow, handle: Any) -> None:
        """The number of processes. Inside a container their ids match no known process."""
        found = self._ask(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle))
        if not isinstance(found, tuple):
            slow.facts["processes"] = len(found)


def _put(slow: Slow, name: str, value: Answer) -> None:
    if isinstance(value, tuple):
        slow.missing[name] = value
    else:
        slow.metrics[name] = float(value)
