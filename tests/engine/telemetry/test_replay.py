"""Replay of recorded NVML calls, whose readings must not change.

Every file in recorded/ and in the folders of `make gpu` is replayed. A file with "constructed" in its first line comes
from no driver: it checks the code from recording to readings, and nothing about a GPU. engine.telemetry.nvml_record
makes a real recording.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.telemetry.nvml_record import Replay, record
from fourwalls.system.nvml import Nvml
from fourwalls.system.readings import DEVICE_METRICS, DeviceReading
from tests.engine.telemetry.fake_nvml import NO_PERMISSION, FakeNvml

MEASURED_FOLDERS = Path(__file__).parents[2] / "gpu" / "recorded"  # of `make gpu`
FILES = sorted(
    [*(Path(__file__).parent / "recorded").glob("*.jsonl"), *MEASURED_FOLDERS.glob("*/*nvml.jsonl")]
)


def replayed(path: Path) -> list[dict[str, DeviceReading]]:
    binding = Replay(path)
    nvml = Nvml(binding)
    return [nvml.read(float(second), {}) for second in range(binding.about["ticks"])]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recording_gives_a_value_or_a_reason_for_everything_at_every_tick(path: Path) -> None:
    for readings in replayed(path):
        for reading in readings.values():
            names = {*reading.metrics, *reading.slow, *reading.missing} | {"energy_j"}
            assert names == set(DEVICE_METRICS)
            shares = {name: x for name, x in reading.metrics.items() if name.endswith("_share")}
            assert all(0 <= share <= 1.05 for share in shares.values()), shares


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recording_states_its_origin(path: Path) -> None:
    about = Replay(path).about
    assert (
        about["kind"] in ("recorded", "constructed") and about["device"] and about["driver"] and about["date"]
    )
    assert (about["kind"] == "constructed") == path.stem.startswith("constructed-")


def test_the_constructed_recording_gives_its_own_values() -> None:
    path = next(path for path in FILES if path.stem == "constructed-h100")
    ticks = [next(iter(readings.values())) for readings in replayed(path)]
    second = ticks[2]
    assert (
        second.metrics["pcie_tx_bytes_per_s"] == 6e6
        and second.metrics["nvlink_tx_bytes_per_s"] == 1000 * 1024
    )
    assert second.metrics["power_throttle_share"] == pytest.approx(0.12)
    assert second.metrics["sm_active_share"] == pytest.approx(0.82)
    assert second.metrics["nvlink_rx_bytes_per_s"] == 3 * 2**20, "from GPM, where the field is refused"
    assert second.missing["sync_throttle_share"][0] == "unsupported"
    assert ticks[-1].energy_counter_j == pytest.approx(5000 + 11 * 412.5)
    assert [fault.code for fault in ticks[-1].faults] == ["xid 63"]


def test_what_is_recorded_is_what_is_replayed(tmp_path: Path) -> None:
    fake = FakeNvml(count=2)
    fake.refuse = {74: NO_PERMISSION, "nvmlDeviceGetTemperature": NO_PERMISSION}
    path = tmp_path / "two.jsonl"
    record(fake, path, {"kind": "constructed", "ticks": 3}, 3, lambda _: None)
    nvml = Nvml(fake)
    fresh = [nvml.read(float(second), {}) for second in range(3)]
    for was, again in zip(fresh, [[*r.values()] for r in replayed(path)], strict=True):
        for one, other in zip(was.values(), again, strict=True):
            one.metrics.pop("sampling_s")
            other.metrics.pop("sampling_s")
            assert one.metrics == other.metrics
            assert {k: v[0] for k, v in one.missing.items()} == {k: v[0] for k, v in other.missing.items()}


def test_a_call_that_differs_from_the_recording_is_refused() -> None:
    binding = Replay(FILES[0])
    with pytest.raises(AssertionError, match="was nvmlInit when it was recorded, now nvmlShutdown"):
        binding.nvmlShutdown()
