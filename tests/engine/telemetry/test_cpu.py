"""Readings of CPU devices while real processes use them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourwalls.system import cgroup, host, procfs
from fourwalls.system import cpu as module
from fourwalls.system.cpu import Cpu, Rapl, cpu_devices
from fourwalls.system.readings import DEVICE_METRICS
from tests.engine.supervised import until


@pytest.fixture
def worker() -> Iterator[int]:
    """A process that has started and computes without end."""
    code = "print(flush=True)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline()
    yield process.pid
    process.kill()
    process.wait()


def cpu_seconds(pid: int) -> float:
    found = procfs.stat(pid)
    assert found
    return found.cpu_s


def powercap(system: Path, package: str = "package-0", energy_uj: int = 5_000_000) -> Path:
    folder = system / "class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    (folder / "name").write_text(package)
    (folder / "energy_uj").write_text(str(energy_uj))
    (folder / "max_energy_range_uj").write_text("262143328850")
    return folder


def test_the_cores_and_the_memory_are_split_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cores", lambda: 8.0)
    devices = cpu_devices(3)
    assert [device.index for device in devices] == [0, 1, 2]
    assert sum(device.cores for device in devices) == pytest.approx(8)
    assert sum(device.memory_bytes for device in devices) == pytest.approx(host.memory_bytes(), abs=3)


def test_there_are_never_more_devices_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cores", lambda: 2.0)
    assert len(cpu_devices(16)) == 2


def test_the_number_of_devices_is_two_or_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cores", lambda: 8.0)
    assert len(cpu_devices()) == 2
    monkeypatch.setenv("FOURWALLS_CPU_DEVICES", "4")
    assert len(cpu_devices()) == 4


def test_ids_are_the_same_every_time_and_differ_by_index() -> None:
    first, again = cpu_devices(1), cpu_devices(1)
    assert first == again and first[0].id.startswith("cpu-") and first[0].id.endswith("-0")


def test_utilisation_is_the_cpu_time_of_the_ranks_over_the_allotted_cores(worker: int) -> None:
    cpu = Cpu(1)
    (device,) = cpu.devices()
    before = cpu_seconds(worker)
    cpu.read(100.0, {device.id: [worker]})
    until(lambda: cpu_seconds(worker) >= before + 0.2, "some work")
    used_at_least = cpu_seconds(worker) - before
    reading = cpu.read(101.0, {device.id: [worker]})[device.id]
    assert reading.metrics["utilisation_pct"] >= 0.9 * 100 * used_at_least / device.cores
    assert reading.metrics["memory_used_bytes"] > 1_000_000


def test_memory_is_the_sum_over_the_ranks_of_the_device(worker: int) -> None:
    cpu = Cpu(1)
    (device,) = cpu.devices()
    one = cpu.read(1.0, {device.id: [worker]})[device.id].metrics["memory_used_bytes"]
    both = cpu.read(2.0, {device.id: [worker, os.getpid()]})[device.id].metrics["memory_used_bytes"]
    assert both > one + 1_000_000


def test_a_device_without_a_rank_has_no_figures_and_a_reason() -> None:
    cpu = Cpu(1)
    (device,) = cpu.devices()
    reading = cpu.read(1.0, {})[device.id]
    assert reading.missing["utilisation_pct"] == ("absent", "no rank on this device")
    assert reading.missing["memory_used_bytes"][0] == "absent"


def test_cores_used_are_utilisation_without_the_share(worker: int) -> None:
    cpu = Cpu(1)
    (device,) = cpu.devices()
    cpu.read(1.0, {device.id: [worker]})
    reading = cpu.read(2.0, {device.id: [worker]})[device.id]
    assert reading.metrics["utilisation_pct"] == pytest.approx(
        100 * reading.metrics["cores_used"] / device.cores
    )


def test_expensive_metrics_are_read_every_ten_seconds(worker: int) -> None:
    cpu = Cpu(1)
    (device,) = cpu.devices()
    readings = [cpu.read(at, {device.id: [worker]})[device.id] for at in (1.0, 2.0, 10.9, 11.0)]
    assert [reading.has_new_slow for reading in readings] == [True, False, False, True]
    assert 1e6 < readings[0].slow["memory_pss_bytes"] <= readings[0].metrics["memory_used_bytes"] * 1.1
    assert all(0 < reading.metrics["sampling_s"] < 10 for reading in readings)


def test_ranks_with_much_memory_are_not_walked(worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PSS_LIMIT_BYTES", 1000)
    cpu = Cpu(1)
    (device,) = cpu.devices()
    reading = cpu.read(1.0, {device.id: [worker]})[device.id]
    assert reading.missing["memory_pss_bytes"][0] == "unsupported" and "memory_pss_bytes" not in reading.slow


def test_pressure_and_network_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    (tmp_path / "io").write_text("some avg10=12.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=1.00 total=1\n")
    assert host.pressure_share("io", tmp_path) == 0.125
    assert host.pressure_share("memory", tmp_path) is None
    head = "Inter-|   Receive  |  Transmit\n face |bytes packets ...\n"
    row = "{}: {} 1 0 0 0 0 0 0 {} 1 0 0 0 0 0 0\n"
    (tmp_path / "dev").write_text(
        head + row.format("lo", 99, 99) + row.format("eth0", 10, 20) + row.format("ib0", 1, 2)
    )
    assert host.network_bytes(tmp_path / "dev") == (22, 11)
    (tmp_path / "dev").write_text(head + row.format("lo", 99, 99))
    assert host.network_bytes(tmp_path / "dev") is None, "loopback alone is no network"


def test_each_device_has_the_readings_of_the_whole_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host, "pressure_share", {"cpu": 0.25, "memory": 0.5, "io": 0.75}.get)
    monkeypatch.setattr(cgroup, "memory_limit_bytes", lambda: 2**30)
    cpu = Cpu(2, tmp_path)
    for now_s, sent_bytes, received_bytes, throttled_s in ((1.0, 0, 0, 0.0), (3.0, 200, 100, 0.5)):
        monkeypatch.setattr(host, "network_bytes", lambda counts=(sent_bytes, received_bytes): counts)
        monkeypatch.setattr(cgroup, "throttled_s", lambda seconds=throttled_s: seconds)
        readings = cpu.read(now_s, {}).values()
    for reading in readings:
        assert reading.slow == {"memory_limit_bytes": 2**30}
        del reading.metrics["sampling_s"]
        assert reading.metrics == {
            "cpu_pressure_share": 0.25, "memory_pressure_share": 0.5, "io_pressure_share": 0.75,
            "network_tx_bytes_per_s": 100, "network_rx_bytes_per_s": 50, "cpu_throttle_share": 0.25,
        }  # fmt: skip


def test_every_reading_names_its_source(worker: int) -> None:
    cpu = Cpu(1)
    (device,) = cpu.devices()
    for now_s in (1.0, 2.0):
        reading = cpu.read(now_s, {device.id: [worker]})[device.id]
        assert reading.metrics.keys() | reading.slow.keys() <= reading.sources.keys() | {"sampling_s"}


def test_a_rank_that_has_ended_counts_as_none() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    cpu = Cpu(1)
    (device,) = cpu.devices()
    assert cpu.read(1.0, {device.id: [gone.pid]})[device.id].missing["utilisation_pct"][0] == "absent"


def test_a_first_reading_has_no_utilisation_yet(worker: int) -> None:
    cpu = Cpu(1)
    (device,) = cpu.devices()
    reading = cpu.read(1.0, {device.id: [worker]})[device.id]
    assert "first" in reading.missing["utilisation_pct"][1]
    assert "memory_used_bytes" in reading.metrics


def test_every_device_metric_is_a_value_or_has_a_reason(tmp_path: Path) -> None:
    for system in (Path("/sys"), tmp_path):
        for reading in Cpu(2, system).read(1.0, {}).values():
            assert sorted([*reading.metrics, *reading.slow, *reading.missing]) == sorted(DEVICE_METRICS)
            assert all(reason for _, reason in reading.missing.values())


def test_a_bare_virtual_machine_has_a_reason_for_each_missing_metric(tmp_path: Path) -> None:
    (reading,) = Cpu(1, tmp_path).read(1.0, {}).values()
    for metric in ("power_w", "energy_j", "temperature_celsius", "sm_clock_hz"):
        assert reading.missing[metric][0] == "absent"
    assert reading.missing["nvlink_tx_bytes_per_s"][0] == "unsupported"


def test_an_energy_counter_gives_power_and_energy(tmp_path: Path) -> None:
    folder = powercap(tmp_path)
    cpu = Cpu(1, tmp_path)
    (device,) = cpu.devices()
    assert cpu.read(1.0, {})[device.id].missing["power_w"][0] == "absent"
    (folder / "energy_uj").write_text("125000000")
    reading = cpu.read(3.0, {})[device.id]
    assert (reading.metrics["power_w"], reading.energy_counter_j) == (60.0, 125.0)


def test_a_counter_of_the_whole_machine_is_not_split(tmp_path: Path) -> None:
    powercap(tmp_path)
    cpu = Cpu(2, tmp_path)
    cpu.read(1.0, {})
    for reading in cpu.read(2.0, {}).values():
        if len(cpu.devices()) > 1:
            assert (
                reading.missing["power_w"][0] == "unsupported"
                and "2 devices" in reading.missing["power_w"][1]
            )


def test_a_counter_that_only_root_may_read_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    powercap(tmp_path)

    def refuse(_: Rapl) -> float:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Rapl, "energy_j", refuse)  # as root, chmod would not refuse
    (reading,) = Cpu(1, tmp_path).read(1.0, {}).values()
    assert reading.missing["power_w"][0] == reading.missing["energy_j"][0] == "denied"


def test_a_wrapped_energy_counter_continues(tmp_path: Path) -> None:
    folder = powercap(tmp_path, energy_uj=262_143_000_000)
    rapl = Rapl(tmp_path / "class/powercap")
    before = rapl.energy_j()
    (folder / "energy_uj").write_text("671150")
    assert rapl.energy_j() - before == pytest.approx(1.0)


def test_domains_within_a_package_are_not_counted_again(tmp_path: Path) -> None:
    powercap(tmp_path, package="psys")
    assert Rapl(tmp_path / "class/powercap").energy_j() is None


def test_clock_and_temperature_are_read_where_the_machine_exposes_them(tmp_path: Path) -> None:
    for core, khz in (("cpu0", 3_000_000), ("cpu1", 2_000_000)):
        folder = tmp_path / "devices/system/cpu" / core / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(str(khz))
    sensor = tmp_path / "class/hwmon/hwmon0"
    sensor.mkdir(parents=True)
    (sensor / "name").write_text("k10temp\n")
    (sensor / "temp1_input").write_text("48250")
    (reading,) = Cpu(1, tmp_path).read(1.0, {}).values()
    assert reading.metrics["sm_clock_hz"] == 2.5e9
    assert reading.metrics["temperature_celsius"] == 48.25


def test_the_host_has_a_busy_share_and_its_memory() -> None:
    machine = host.Host(Path.cwd())
    begin = os.times().elapsed
    until(lambda: os.times().elapsed > begin + 0.05)
    figures = machine.read()
    assert 0 <= figures["cpu_pct"] <= 100
    assert 0 < figures["memory_used_bytes"] < figures["memory_total_bytes"]
