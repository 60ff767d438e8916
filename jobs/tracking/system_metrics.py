"""System metrics of other trackers as readings of devices, one row per name.

A name without a row stays a plain metric of the run. Rates that the others write as totals (MLflow's and W&B's network)
have no row: a total is no rate.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.telemetry import point_limits

PREFIX = "system/"


class SeriesLocation(NamedTuple):
    """The metric and source under which a series is stored, and the factor of its values."""

    metric: str
    source: str
    scale: float = 1.0


class SystemMetric(NamedTuple):
    """`pattern`: of the name behind `system/`, with the groups `index` (of a GPU) and `node`, both optional."""

    pattern: str
    device: str  # gpu or cpu
    metric: str
    scale: float = 1.0


NODE = r"(?:(?P<node>[\w.\-]+)/)?"
# Sources: mlflow/system_metrics/metrics/{cpu,gpu,rocm}_monitor.py; the names of W&B's system monitor.
MLFLOW = (
    SystemMetric(NODE + r"gpu_(?P<index>\d+)_utilization_percentage", "gpu", "utilisation_pct"),
    SystemMetric(NODE + r"gpu_(?P<index>\d+)_memory_usage_megabytes", "gpu", "memory_used_bytes", 1e6),
    SystemMetric(NODE + r"gpu_(?P<index>\d+)_memory_usage_gigabytes", "gpu", "memory_used_bytes", 1e9),
    SystemMetric(NODE + r"gpu_(?P<index>\d+)_power_usage_watts", "gpu", "power_w"),
    SystemMetric(NODE + r"cpu_utilization_percentage", "cpu", "utilisation_pct"),
    SystemMetric(NODE + r"system_memory_usage_megabytes", "cpu", "memory_used_bytes", 1e6),
)
WANDB = (
    SystemMetric(r"(?:system\.)?gpu\.(?P<index>\d+)\.gpu", "gpu", "utilisation_pct"),
    SystemMetric(r"(?:system\.)?gpu\.(?P<index>\d+)\.memoryAllocatedBytes", "gpu", "memory_used_bytes"),
    SystemMetric(r"(?:system\.)?gpu\.(?P<index>\d+)\.powerWatts", "gpu", "power_w"),
    SystemMetric(r"(?:system\.)?gpu\.(?P<index>\d+)\.temp", "gpu", "temperature_celsius"),
    SystemMetric(r"(?:system\.)?gpu\.(?P<index>\d+)\.smClock", "gpu", "sm_clock_hz", 1e6),
    SystemMetric(
        r"(?:system\.)?gpu\.(?P<index>\d+)\.correctedMemoryErrors", "gpu", "memory_errors_corrected"
    ),
    SystemMetric(r"(?:system\.)?cpu", "cpu", "utilisation_pct"),
    SystemMetric(r"(?:system\.)?proc\.memory\.rssMB", "cpu", "memory_used_bytes", float(2**20)),
)
ROWS = tuple((re.compile(row.pattern), row) for row in (*MLFLOW, *WANDB))
ROWS_OF_MLFLOW = ROWS[: len(MLFLOW)]


def locate(key: str, rows: tuple[tuple[re.Pattern[str], SystemMetric], ...] = ROWS) -> SeriesLocation:
    """Where the points of a metric belong. A name without a row, and one whose node is too long for a source, stays as
    it is, with the source `run`."""
    plain = SeriesLocation(key, "run")
    if not key.startswith(PREFIX):
        return plain
    for pattern, row in rows:
        if found := pattern.fullmatch(key, len(PREFIX)):
            groups = found.groupdict()
            node = f"{groups['node']}:" if groups.get("node") else ""
            source = f"device:{node}{row.device}{groups.get('index') or ''}"
            is_valid = not point_limits.source_error(source)
            return SeriesLocation(row.metric, source, row.scale) if is_valid else plain
    return plain
