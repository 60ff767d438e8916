"""Names of the readings of a device, and the status of a reading that is missing.

engine/telemetry/metrics.py describes each of them; tests/fourwalls/test_limits.py compares the two.
"""

from __future__ import annotations

from typing import Literal

# Status of a figure; only the first three have a value.
Status = Literal["measured", "derived", "estimated", "unsupported", "denied", "absent", "stale", "error"]

DEVICE_METRICS = (
    "utilisation_pct", "cores_used", "memory_used_bytes", "memory_pss_bytes", "memory_limit_bytes",
    "power_w", "energy_j", "temperature_celsius", "memory_temperature_celsius", "sm_clock_hz",
    "memory_bandwidth_share", "tensor_active_share", "sm_active_share", "sm_occupancy_share",
    "pcie_tx_bytes_per_s", "pcie_rx_bytes_per_s", "nvlink_tx_bytes_per_s", "nvlink_rx_bytes_per_s",
    "pcie_link_share", "pcie_replays", "memory_errors_corrected", "network_tx_bytes_per_s",
    "network_rx_bytes_per_s", "power_throttle_share", "thermal_throttle_share", "sync_throttle_share",
    "cpu_throttle_share", "cpu_pressure_share", "memory_pressure_share", "io_pressure_share",
    "sampling_s",
)  # fmt: skip
