"""Cost of the node's sampler.

With eight fake GPUs only our own code is measured; with this machine's cores everything is real. The driver's
own time on a GPU has not been measured yet.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.telemetry.attempts import LocalAttempts
from engine.telemetry.sampler import DeviceSampler
from fourwalls.system.cpu import Cpu
from fourwalls.system.nvml import Nvml
from fourwalls.system.readings import DeviceSource
from tests.engine.telemetry.fake_nvml import FakeNvml
from tests.engine.telemetry.sampled import attempt

pytestmark = pytest.mark.perf
TICKS = 120


class Cost(NamedTuple):
    tick_ms: float  # median wall time, so that other load on the host does not count
    cpu_ms: float  # mean, including slow polls
    num_devices: int


def cost_of(node_dir: Path, source: DeviceSource) -> Cost:
    """Cost of ticks of one second each, with one live attempt on all devices."""
    devices = [device.id for device in source.devices()]
    attempt(node_dir, "one", *devices)
    sampler = DeviceSampler(node_dir / "devices.json", LocalAttempts(node_dir / "attempts").live, source, 1.0)
    walls_s, began_cpu_s = [], time.process_time()
    for second in range(TICKS):
        began_s = time.perf_counter()
        sampler.tick(float(second), time.time())
        walls_s.append(time.perf_counter() - began_s)
    cpu_s = (time.process_time() - began_cpu_s) / TICKS
    return Cost(1000 * statistics.median(walls_s), 1000 * cpu_s, len(devices))


@pytest.mark.parametrize(
    ("name", "make"),
    [("8 fake GPUs", lambda: Nvml(FakeNvml(count=8))), ("this machine's cores", lambda: Cpu())],
)
def test_sampling_stays_below_its_targets(
    name: str, make: Callable[[], DeviceSource], tmp_path: Path
) -> None:
    source = make()
    cost = cost_of(tmp_path, source)
    source.close()
    print(
        f"\nsampler, {name}: a tick {cost.tick_ms:.2f} ms ({cost.tick_ms / cost.num_devices:.2f} a device), "
        f"{cost.cpu_ms:.2f} ms CPU, so {cost.cpu_ms / 1000:.3%} of a core at 1 Hz; load {os.getloadavg()[0]:.1f}"
    )
    assert cost.tick_ms / cost.num_devices < 5
    assert cost.cpu_ms / 1000 < 0.005
