"""Choice of the device source: NVIDIA GPUs, else the CPU."""

from __future__ import annotations

from typing import Any

import pynvml

from engine.telemetry.cpu import Cpu
from engine.telemetry.nvml import Nvml
from engine.telemetry.readings import DeviceSource


def open_source() -> tuple[DeviceSource, dict[str, str]]:
    """The source, and facts about the GPU driver: its versions, or why it is absent."""
    gpus, driver = open_gpus()
    if gpus and gpus.devices():
        return gpus, driver
    return Cpu(), driver


def open_gpus(binding: Any = pynvml) -> tuple[Nvml | None, dict[str, str]]:
    """The GPUs and the versions of their driver; (None, reason) without a driver."""
    try:
        gpus = Nvml(binding)
        return gpus, gpus.versions()
    except binding.NVMLError as error:
        return None, {"driver_absent": str(error)}
