"""Readings of GPUs from results and errors of a fake driver (fake_nvml.py)."""

from __future__ import annotations

import ctypes

import pynvml
import pytest

from fourwalls.system import sources
from fourwalls.system.nvml import FIELDS, NOT_A_CPU, Nvml
from fourwalls.system.nvml_gpm import SHARES
from fourwalls.system.readings import DEVICE_METRICS, DeviceReading
from tests.engine.telemetry.fake_nvml import GPU_IS_LOST, NO_PERMISSION, NOT_SUPPORTED, FakeNvml

GPU = "GPU-handle0"


def read(nvml: Nvml, now_s: float) -> DeviceReading:
    return nvml.read(now_s, {})[GPU]


def test_gpus_have_their_uuid_and_the_facts_of_the_driver() -> None:
    (device,) = Nvml(FakeNvml()).devices()
    assert (device.id, device.kind, device.index) == (GPU, "cuda", 0)
    assert (device.name, device.memory_bytes, device.cores) == ("NVIDIA H100 80GB HBM3", 85_520_809_984, None)
    assert device.detail == {"compute_capability": "9.0", "power_limit_w": 700.0}


def test_every_device_metric_is_a_value_or_has_a_reason() -> None:
    nvml = Nvml(FakeNvml())
    for now_s in (10.0, 11.0):
        reading = read(nvml, now_s)
        names = [
            *reading.metrics,
            *reading.slow,
            *reading.missing,
            *(["energy_j"] if reading.energy_counter_j else []),
        ]
        assert sorted(names) == sorted(DEVICE_METRICS)


def test_values_arrive_in_si_units() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    read(nvml, 10.0)
    fake.set(197, 1_000 + 6_000)
    fake.set(139, 20 + 8)
    fake.set(74, 300_000_000)
    fake.set(271, 200_000_000)
    reading = read(nvml, 12.0)
    assert reading.energy_counter_j == 5_000.0
    assert 0 < reading.metrics.pop("sampling_s") < 1
    assert reading.metrics == pytest.approx({
        "power_w": 412.5, "utilisation_pct": 97, "memory_used_bytes": 12e9, "temperature_celsius": 61,
        "sm_clock_hz": 1.755e9, "pcie_tx_bytes_per_s": 3_000, "pcie_rx_bytes_per_s": 0, "nvlink_tx_bytes_per_s": 0,
        "nvlink_rx_bytes_per_s": 4 * 1024, "power_throttle_share": 0.25, "thermal_throttle_share": 0,
        "sync_throttle_share": 0, "memory_temperature_celsius": 74, "sm_occupancy_share": 0.25,
        "sm_active_share": 0.91, "tensor_active_share": 0.44, "memory_bandwidth_share": 0.385,
    })  # fmt: skip


def test_a_first_poll_has_no_rates_but_a_reason() -> None:
    reading = read(Nvml(FakeNvml()), 10.0)
    assert reading.missing["pcie_tx_bytes_per_s"][0] == "absent"
    assert reading.missing["sm_active_share"][0] == "absent"
    assert "pcie_tx_bytes_per_s" not in reading.metrics


def test_all_fields_are_read_in_one_call_per_tick_and_handles_only_once() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    for now_s in (1.0, 2.0, 3.0):
        read(nvml, now_s)
    assert fake.field_requests.count(FIELDS) == 3
    assert fake.calls.count("nvmlDeviceGetHandleByIndex") == 1
    assert (138, 0xFFFFFFFF) in FIELDS and (83, 0) in FIELDS


@pytest.mark.parametrize(
    ("code", "status"),
    [(NOT_SUPPORTED, "unsupported"), (NO_PERMISSION, "denied"), (GPU_IS_LOST, "error"), (999, "error")],
)
def test_one_refused_field_costs_one_metric_and_gives_its_status(code: int, status: str) -> None:
    fake = FakeNvml()
    fake.refuse = {83: code, 138: code, 270: code, ("gpm", 61): code}
    nvml = Nvml(fake)
    read(nvml, 1.0)
    reading = read(nvml, 2.0)
    for metric in ("energy_j", "nvlink_tx_bytes_per_s", "thermal_throttle_share"):
        assert reading.missing[metric] == (status, f"NVML: {fake.nvmlErrorString(code)}")
    assert reading.energy_counter_j is None
    assert {"power_w", "nvlink_rx_bytes_per_s", "power_throttle_share"} <= reading.metrics.keys()


def test_average_power_replaces_instant_power_that_is_refused() -> None:
    fake = FakeNvml()
    fake.refuse = {(186, 0): NOT_SUPPORTED}
    reading = read(Nvml(fake), 1.0)
    assert (reading.metrics["power_w"], reading.sources["power_w"]) == (400.0, "nvml.field.185 (1 s mean)")
    fake.refuse[185] = NOT_SUPPORTED
    assert "module" in read(Nvml(fake), 1.0).sources["power_w"], (
        "Grace-Hopper: GPU and CPU together, and it says so"
    )
    fake.refuse[186, 1] = NOT_SUPPORTED
    assert read(Nvml(fake), 1.0).missing["power_w"][0] == "unsupported"


def test_gpm_replaces_a_byte_counter_that_is_refused() -> None:
    fake = FakeNvml()
    fake.refuse = {197: NOT_SUPPORTED, 139: NOT_SUPPORTED}
    nvml = Nvml(fake)
    assert read(nvml, 1.0).missing["pcie_tx_bytes_per_s"][0] == "unsupported"
    reading = read(nvml, 2.0)
    assert (reading.metrics["pcie_tx_bytes_per_s"], reading.metrics["nvlink_rx_bytes_per_s"]) == (
        2**20,
        3 * 2**20,
    )
    assert reading.sources["pcie_tx_bytes_per_s"] == "nvml.gpm.20"
    assert reading.sources["pcie_rx_bytes_per_s"] == "nvml.field.198"


def test_links_errors_and_processes_are_read_every_ten_seconds() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    first, second = read(nvml, 1.0), read(nvml, 2.0)
    assert (first.has_new_slow, second.has_new_slow, first.slow == second.slow) == (True, False, True)
    assert first.slow == {"memory_errors_corrected": 2, "pcie_replays": 5, "pcie_link_share": 0.25}
    assert first.facts == {"PCIe": "generation 4 x8 of 5 x16", "NVLinks": 2, "processes": 1}
    fake.pcie[:2] = [5, 16]
    assert read(nvml, 10.9).slow["pcie_link_share"] == 0.25
    assert read(nvml, 11.0).slow["pcie_link_share"] == 1.0
    assert fake.calls.count("nvmlDeviceGetComputeRunningProcesses_v3") == 2


def test_a_refused_slow_reading_costs_one_metric() -> None:
    fake = FakeNvml()
    fake.refuse = {"nvmlDeviceGetCurrPcieLinkGeneration": NO_PERMISSION, 94: NOT_SUPPORTED}
    reading = read(Nvml(fake), 1.0)
    assert (reading.missing["pcie_link_share"][0], reading.missing["pcie_replays"][0]) == (
        "denied",
        "unsupported",
    )
    assert reading.slow == {"memory_errors_corrected": 2}


def test_a_refused_call_costs_one_metric() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    fake.refuse = {"nvmlDeviceGetUtilizationRates": NOT_SUPPORTED}  # as under MIG
    reading = read(nvml, 1.0)
    assert reading.missing["utilisation_pct"][0] == "unsupported"
    assert reading.metrics["temperature_celsius"] == 61


def test_a_lost_gpu_is_an_error_in_every_metric_and_never_zero() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    read(nvml, 1.0)
    calls = ("FieldValues", "UtilizationRates", "MemoryInfo", "Temperature", "ClockInfo")
    fake.refuse = {f"nvmlDeviceGet{call}": GPU_IS_LOST for call in calls} | {"nvmlGpmSampleGet": GPU_IS_LOST}
    reading = read(nvml, 2.0)
    assert reading.metrics.keys() == {"sampling_s"} and reading.energy_counter_j is None
    assert {status for status, reason in reading.missing.values() if reason != NOT_A_CPU} == {"error"}


def test_a_counter_that_went_backwards_is_an_error_once_and_then_continues() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    read(nvml, 1.0)
    fake.set(197, 10)
    assert read(nvml, 2.0).missing["pcie_tx_bytes_per_s"][0] == "error"
    fake.set(197, 60)
    assert read(nvml, 3.0).metrics["pcie_tx_bytes_per_s"] == 50


def test_gpm_subtracts_the_previous_poll_from_each_poll() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    for now_s in (1.0, 2.0, 3.0, 4.0):
        read(nvml, now_s)
    assert fake.gpm_pairs == [(1, 2), (2, 3), (3, 4)]


def test_gpm_is_not_read_again_within_a_tenth_of_a_second() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    for now_s in (1.0, 2.0, 2.05):
        reading = read(nvml, now_s)
    assert fake.gpm_pairs == [(1, 2)]
    assert reading.metrics["sm_active_share"] == 0.91


def test_a_chip_without_gpm_has_a_reason_and_takes_no_samples() -> None:
    fake = FakeNvml(has_gpm=False)
    reading = read(Nvml(fake), 1.0)
    assert {reading.missing[name][0] for name in SHARES.values()} == {"unsupported"}
    assert "nvmlGpmSampleGet" not in fake.calls


def test_a_denied_gpm_metric_leaves_the_others() -> None:
    fake = FakeNvml()
    fake.refuse = {("gpm", 5): NO_PERMISSION}
    nvml = Nvml(fake)
    read(nvml, 1.0)
    reading = read(nvml, 2.0)
    assert reading.missing["tensor_active_share"][0] == "denied"
    assert reading.metrics["sm_active_share"] == 0.91


def test_closing_frees_the_samples_and_the_driver() -> None:
    fake = FakeNvml(count=2)
    Nvml(fake).close()
    assert (fake._samples, fake.is_open) == (0, False)


def test_a_machine_without_a_driver_has_no_gpus_and_a_reason() -> None:
    fake = FakeNvml()
    fake.refuse = {"nvmlInit": 12}
    gpus, driver = sources.open_gpus(fake)
    assert gpus is None and driver == {"driver_absent": "NVML Shared Library Not Found"}


def test_the_driver_and_its_cuda_are_named() -> None:
    assert sources.open_gpus(FakeNvml())[1] == {"driver": "580.65.06", "cuda_driver": "13.1"}


def test_the_binding_has_every_name_of_the_fake() -> None:
    """Without this, tests could pass with names that do not exist."""
    names = [name for name in dir(FakeNvml) if name.startswith(("nvml", "NVML", "c_nvml"))]
    assert [name for name in names if not hasattr(pynvml, name)] == []
    assert pynvml.NVML_TEMPERATURE_GPU == 0 and pynvml.NVML_CLOCK_SM == 1
    assert (FIELDS[0][0], FIELDS[1][0]) == (
        pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
        pynvml.NVML_FI_DEV_POWER_INSTANT,
    )
    assert pynvml.NVML_GPM_METRIC_SM_UTIL == 2 and pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL == 5
    assert pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL == 10 and pynvml.NVML_GPM_METRIC_SM_OCCUPANCY == 3
    assert (pynvml.NVML_GPM_METRIC_PCIE_TX_PER_SEC, pynvml.NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC) == (
        20,
        60,
    )
    assert (pynvml.NVML_FI_DEV_PERF_POLICY_SYNC_BOOST, pynvml.NVML_FI_DEV_MEMORY_TEMP) == (76, 82)
    assert (pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL, pynvml.NVML_FI_DEV_PCIE_REPLAY_COUNTER) == (3, 94)
    union = pynvml.c_nvmlFieldValue_t().value
    assert isinstance(union, ctypes.Union) and hasattr(union, "ullVal")
