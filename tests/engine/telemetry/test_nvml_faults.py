"""Faults of GPUs, reported by a fake driver (fake_nvml.py)."""

from __future__ import annotations

import pynvml
import pytest

from fourwalls.system import faults
from fourwalls.system.nvml import Nvml
from fourwalls.system.nvml_faults import EVERY_S, FIELDS, KEPT
from fourwalls.system.readings import DeviceReading
from tests.engine.telemetry.fake_nvml import GPU_IS_LOST, NO_PERMISSION, NOT_SUPPORTED, FakeNvml

GPU = "GPU-handle0"


def read(nvml: Nvml, now_s: float, gpu: str = GPU) -> DeviceReading:
    return nvml.read(now_s, {})[gpu]


def codes(reading: DeviceReading) -> list[str]:
    return [fault.code for fault in reading.faults]


def test_a_healthy_gpu_has_no_faults_and_all_kinds_are_read() -> None:
    fake = FakeNvml()
    reading = read(Nvml(fake), 0.0)
    assert (reading.faults, reading.faults_missing) == ([], {})
    assert fake.registered == [("handle0", pynvml.nvmlEventTypeXidCriticalError)]


def test_an_xid_stays_with_its_gpu_until_newer_ones_replace_it() -> None:
    fake = FakeNvml(count=2)
    nvml = Nvml(fake)
    fake.xids = [(1, 79), (0, 13)]
    assert codes(read(nvml, 0.0)) == ["xid 13"]
    (fault,) = read(nvml, 1.0, "GPU-handle1").faults
    assert fault.text == "Xid 79: the GPU has fallen off the bus." and fault.is_hardware
    fake.xids = [(1, 31)] * KEPT
    assert codes(read(nvml, EVERY_S, "GPU-handle1")) == ["xid 31"] * KEPT


def test_faults_are_read_every_few_seconds_only() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    for second in range(30):
        read(nvml, float(second))
    assert fake.calls.count("nvmlEventSetWait_v2") == 3
    assert sum(asked == FIELDS for asked in fake.field_requests) == 3


def test_uncorrected_memory_errors_are_reported_when_their_count_grows() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    fake.set(4, 2)
    assert codes(read(nvml, 0.0)) == ["ecc"], "it may have grown before anybody looked"
    assert codes(read(nvml, 10.0)) == ["ecc"]
    fake.set(4, 3)
    faults_found = read(nvml, 20.0).faults
    assert [fault.text[:15] for fault in faults_found] == ["2 memory errors", "3 memory errors"]
    fake.set(4, 0)
    fake.set(145, 1)
    assert codes(read(nvml, 30.0))[2:] == ["row remap"]
    fake.set(4, 1)
    assert codes(read(nvml, 40.0))[3:] == ["ecc"], "a reset of the GPU resets the count"


@pytest.mark.parametrize(
    ("refused", "code", "missing"),
    [
        ("nvmlEventSetCreate", NOT_SUPPORTED, {"xid": ("unsupported", "NVML: Not Supported")}),
        ("nvmlDeviceRegisterEvents", NO_PERMISSION, {"xid": ("denied", "NVML: Insufficient Permissions")}),
        (4, NOT_SUPPORTED, {"ecc": ("unsupported", "NVML: Not Supported")}),
        (145, NOT_SUPPORTED, {"row remap": ("unsupported", "NVML: Not Supported")}),
    ],
)
def test_a_kind_of_fault_that_is_refused_has_a_reason_and_leaves_the_others(refused, code, missing) -> None:
    fake = FakeNvml()
    fake.refuse[refused] = code
    reading = read(Nvml(fake), 0.0)
    assert reading.faults_missing == missing
    assert reading.metrics["power_w"] == 412.5


def test_a_lost_gpu_does_not_stop_the_others() -> None:
    fake = FakeNvml(count=2)
    nvml = Nvml(fake)
    fake.refuse["nvmlEventSetWait_v2"] = GPU_IS_LOST
    fake.set(4, 1)
    assert codes(read(nvml, 0.0, "GPU-handle1")) == ["ecc"]


def test_the_events_are_freed() -> None:
    fake = FakeNvml()
    nvml = Nvml(fake)
    assert fake.event_sets == 1
    nvml.close()
    assert fake.event_sets == 0


def test_the_field_ids_are_those_of_the_binding() -> None:
    ours = [number for number, _ in FIELDS]
    assert ours == [pynvml.NVML_FI_DEV_ECC_DBE_VOL_TOTAL, pynvml.NVML_FI_DEV_REMAPPED_FAILURE]


@pytest.mark.parametrize(
    ("number", "is_hardware"), [(13, False), (31, False), (48, True), (79, True), (999, False)]
)
def test_only_known_hardware_faults_take_a_device_out_of_use(number: int, is_hardware: bool) -> None:
    fault = faults.fault_from_xid(number, 5.0)
    assert fault.is_hardware is is_hardware
    assert fault.text.startswith(f"Xid {number}: ")
