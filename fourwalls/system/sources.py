"""Choice of the device source: NVIDIA GPUs, else the CPU."""

from __future__ import annotations

from typing import Any

from fourwalls.system.cpu import Cpu
from fourwalls.system.nvml import Nvml
from fourwalls.system.readings import DeviceSource

NOT_INSTALLED = "nvidia-ml-py is not installed"


def open_source() -> tuple[DeviceSource, dict[str, str]]:
    """The source, and facts about the GPU driver: its versions, or why it is absent."""
    gpus, driver = open_gpus()
    if gpus and gpus.devices():
        return gpus, driver
    return Cpu(), driver


def open_gpus(binding: Any = None) -> tuple[Nvml | None, dict[str, str]]:
    """The GPUs and the versions of their driver; (None, reason) without a driver. `binding`: pynvml, or a fake."""
    if binding is None:
        try:
            import pynvml

            binding = pynvml
        except ImportError:
            return None, {"driver_absent": NOT_INSTALLED}
    try:
        gpus = Nvml(binding)
        return gpus, gpus.versions()
    except binding.NVMLError as error:
        return None, {"driver_absent": str(error)}
