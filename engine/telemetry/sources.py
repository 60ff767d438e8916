"""Which source serves this machine: its NVIDIA GPUs, else its CPU."""

from __future__ import annotations

from typing import Any

import pynvml

from engine.telemetry.cpu import Cpu
from engine.telemetry.nvml import Nvml
from engine.telemetry.readings import DeviceSource


def open_source() -> tuple[DeviceSource, dict[str, str]]:
    """The source, and what is to say of the GPU driver: its versions, or why there is none."""
    gpus, driver = open_gpus()
    if gpus and gpus.devices():
        return gpus, driver
    return Cpu(), driver


def open_gpus(binding: Any = pynvml) -> tuple[Nvml | None, dict[str, str]]:
    """(None, reason) without a driver; GPUs of a driver that answers are never passed over in silence."""
    try:
        gpus = Nvml(binding)
        return gpus, gpus.versions()
    except binding.NVMLError as error:
        return None, {"driver_absent": str(error)}
