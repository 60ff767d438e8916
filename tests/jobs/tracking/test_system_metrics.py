"""System metrics of MLflow and W&B as readings of devices."""

from __future__ import annotations

import pytest

from jobs import series
from jobs.imports.device_series import has_device_series, store_device_series
from jobs.series import Point
from jobs.tracking import external_runs
from jobs.tracking.system_metrics import ROWS_OF_MLFLOW, locate

NAMES = {
    "system/gpu_0_utilization_percentage": ("utilisation_pct", "device:gpu0", 1),
    "system/node-1/gpu_12_memory_usage_megabytes": ("memory_used_bytes", "device:node-1:gpu12", 1e6),
    "system/gpu_1_memory_usage_gigabytes": ("memory_used_bytes", "device:gpu1", 1e9),
    "system/gpu_0_power_usage_watts": ("power_w", "device:gpu0", 1),
    "system/cpu_utilization_percentage": ("utilisation_pct", "device:cpu", 1),
    "system/a.b/system_memory_usage_megabytes": ("memory_used_bytes", "device:a.b:cpu", 1e6),
    "system/gpu.0.gpu": ("utilisation_pct", "device:gpu0", 1),
    "system/system.gpu.3.temp": ("temperature_celsius", "device:gpu3", 1),
    "system/gpu.0.memoryAllocatedBytes": ("memory_used_bytes", "device:gpu0", 1),
    "system/gpu.0.smClock": ("sm_clock_hz", "device:gpu0", 1e6),
    "system/cpu": ("utilisation_pct", "device:cpu", 1),
}
PLAIN = ("loss", "gpu.0.gpu", "system/disk_usage_percentage", "system/network_receive_megabytes", "system/gpu_x",
         "system/gpu.process.0.gpu", "system/gpu.0.memoryAllocated",
         f"system/{'n' * 90}/cpu_utilization_percentage")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_known_name_is_a_reading_of_a_device(name):
    assert locate(name) == NAMES[name]


@pytest.mark.parametrize("name", PLAIN)
def test_other_names_stay_plain(name):
    assert locate(name) == (name, "run", 1.0)


def test_mlflows_interface_knows_the_names_of_mlflow_only():
    assert locate("system/cpu", ROWS_OF_MLFLOW).source == "run"


def test_an_import_feeds_the_charts_of_devices_and_again_changes_nothing(team, owner):
    run = external_runs.create(team=team, owner=owner, name="theirs", origin="wandb")
    points = [Point(name, "run", None, 1e9 + second, 2.0) for name in ("system/gpu.0.smClock", "system/cpu", "loss")
              for second in range(3)]  # fmt: skip
    series.append(run.id, 1, "import", 0, points)
    assert not has_device_series(run)
    for _ in range(2):
        assert store_device_series(run) == 2 and has_device_series(run)
        found = {(one.metric, one.source): one.columns.values.tolist() for one in series.raw(run.id)}
        assert found["sm_clock_hz", "device:gpu0"] == [2e6] * 3
        assert found["utilisation_pct", "device:cpu"] == [2.0] * 3
        assert len(found) == 5 and found["system/cpu", "run"] == [2.0] * 3
