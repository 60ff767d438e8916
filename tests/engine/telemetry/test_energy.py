"""Energy of an attempt on a device."""

from __future__ import annotations

import time
from pathlib import Path

from engine.telemetry.sampler import DeviceSampler
from fourwalls.system.energy import Energy
from fourwalls.system.readings import DeviceReading
from tests.engine.telemetry.sampled import Meter, attempt, lines, sampler_of


def test_energy_counts_from_the_start_of_the_attempt(
    tmp_path: Path, node: DeviceSampler, meter: Meter
) -> None:
    run = attempt(tmp_path, "one", "cpu-0")
    for second, counter_j in enumerate((100.0, 130.0, 175.5)):
        meter.values["cpu-0"].energy_counter_j = counter_j
        node.tick(float(second), time.time())
    assert [line.metrics["energy_j"] for line in lines(run)] == [0.0, 30.0, 75.5]


def test_energy_continues_over_a_restart_of_the_sampler(
    tmp_path: Path, node: DeviceSampler, meter: Meter
) -> None:
    run = attempt(tmp_path, "one", "cpu-0")
    node.tick(1.0, time.time())
    meter.values["cpu-0"].energy_counter_j = 140.0
    sampler_of(tmp_path, meter).tick(2.0, time.time() + 60)
    assert [line.metrics["energy_j"] for line in lines(run)] == [0.0, 40.0]


def test_a_sampler_that_started_late_reports_no_energy(tmp_path: Path, node: DeviceSampler) -> None:
    run = attempt(tmp_path, "one", "cpu-0", age_s=300)
    node.tick(1.0, time.time())
    (line,) = lines(run)
    assert "energy_j" not in line.metrics and line.missing["energy_j"][0] == "absent"


def test_a_reset_energy_counter_is_an_error_once_and_never_negative() -> None:
    energy, values = Energy(), []
    for counter_j in (100.0, 150.0, 10.0, 30.0):
        reading = DeviceReading(energy_counter_j=counter_j)
        energy.put(reading, "one", "gpu", attempt_age_s=1.0)
        values.append(reading.metrics.get("energy_j", reading.missing.get("energy_j", [None])[0]))
    assert values == [0.0, 50.0, "error", 70.0]
