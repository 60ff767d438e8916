"""Sampler of a node: spool lines, devices.json and ticks."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.telemetry import wire
from engine.telemetry.sampler import DeviceSampler, ticks
from fourwalls.system.faults import fault_from_xid
from tests.engine.telemetry.sampled import Meter, attempt, devices_json, lines, report


def test_each_attempt_gets_the_lines_of_its_own_devices(tmp_path: Path, node: DeviceSampler) -> None:
    one, other = attempt(tmp_path, "one", "cpu-0"), attempt(tmp_path, "other", "cpu-1")
    node.tick(1.0, 1000.0)
    assert [line.source for line in lines(one)] == ["device:cpu-0"]
    assert [line.source for line in lines(other)] == ["device:cpu-1"]
    assert lines(one)[0].k == "device" and lines(one)[0].at == 1000.0
    assert lines(one)[0].metrics["utilisation_pct"] == 50.0


def test_the_source_gets_the_processes_on_each_device(
    tmp_path: Path, node: DeviceSampler, meter: Meter
) -> None:
    attempt(tmp_path, "one", "cpu-1", "cpu-0")
    node.tick(1.0, 1000.0)
    assert meter.pids == {"cpu-1": [1000], "cpu-0": [1001]}


def test_the_attempt_on_a_device_gets_each_fault_once(
    tmp_path: Path, node: DeviceSampler, meter: Meter
) -> None:
    one, other = attempt(tmp_path, "one", "cpu-0"), attempt(tmp_path, "other", "cpu-1")
    before = fault_from_xid(48, time.time() - 100.0)  # before this attempt
    meter.values["cpu-0"].faults = [before]
    node.tick(1.0, 1000.0)
    fault = fault_from_xid(79, time.time() + 1.0)
    meter.values["cpu-0"].faults = [before, fault]
    for second in (2.0, 3.0):
        node.tick(second, 1000.0 + second)
    notes = [line for line in lines(one) if line.k == "note"]
    assert [(n.text, n.level) for n in notes] == [
        ("Device cpu-0: Xid 79: the GPU has fallen off the bus.", "error")
    ]
    assert not [line for line in lines(other) if line.k == "note"]
    faults = devices_json(tmp_path)["cpu-0"]["faults"]
    assert [(f["code"], f["is_hardware"]) for f in faults] == [("xid 48", True), ("xid 79", True)]


@pytest.mark.parametrize("state", ["succeeded", "stopped", "failed"])
def test_an_ended_attempt_gets_no_line(tmp_path: Path, node: DeviceSampler, state: str) -> None:
    ended = attempt(tmp_path, "one", "cpu-0", state=state)
    node.tick(1.0, 1000.0)
    assert lines(ended) == [] and not node.has_live_attempts


def test_an_attempt_whose_supervisor_was_killed_gets_no_line(tmp_path: Path, node: DeviceSampler) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = attempt(tmp_path, "one", "cpu-0", pid=gone.pid)
    node.tick(1.0, 1000.0)
    assert lines(left) == [] and not node.has_live_attempts


def test_attempts_appear_and_end_while_the_sampler_runs(tmp_path: Path, node: DeviceSampler) -> None:
    node.tick(1.0, 1000.0)
    late = attempt(tmp_path, "late", "cpu-0")
    node.tick(2.0, 1001.0)
    report(late, "succeeded", os.getpid())
    node.tick(3.0, 1002.0)
    assert [line.at for line in lines(late)] == [1001.0]


def test_an_incomplete_directory_is_read_later(tmp_path: Path, node: DeviceSampler) -> None:
    half = tmp_path / "attempts" / "half"
    half.mkdir(parents=True)
    node.tick(1.0, 1000.0)
    whole = attempt(tmp_path, "half", "cpu-0")
    node.tick(2.0, 1001.0)
    assert len(lines(whole)) == 1


def test_missing_metrics_are_sent_at_first_and_after_changes(
    tmp_path: Path, node: DeviceSampler, meter: Meter
) -> None:
    run = attempt(tmp_path, "one", "cpu-0")
    reading = meter.values["cpu-0"]
    reading.missing = {"power_w": ("denied", "only root may")}
    node.tick(1.0, 1000.0)
    node.tick(2.0, 1001.0)
    reading.missing = {"power_w": ("error", "lost")}
    node.tick(3.0, 1002.0)
    missing = [line.missing for line in lines(run)]
    assert missing == [{"power_w": ("denied", "only root may")}, {}, {"power_w": ("error", "lost")}]


def test_devices_json_holds_the_newest_readings_the_host_and_the_cost(
    tmp_path: Path, node: DeviceSampler
) -> None:
    node.guarded_tick(time.monotonic() - 0.5)
    node.tick(2.0, 1001.0)
    found = devices_json(tmp_path)
    assert found["cpu-0"]["at"] == 1001.0 and found["cpu-0"]["metrics"]["utilisation_pct"] == 50.0
    assert found["cpu-0"]["missing"]["energy_j"] == ["absent", "no attempt on this device"]
    assert found["host"]["memory_total_bytes"] > 0
    assert found["sampler"]["tick_ms"] >= 500 and found["sampler"]["cpu_share"] is not None


def test_new_slow_readings_are_sent_once_and_stay_in_the_file(
    tmp_path: Path, node: DeviceSampler, meter: Meter
) -> None:
    run, reading = attempt(tmp_path, "one", "cpu-0"), meter.values["cpu-0"]
    reading.slow, reading.facts, reading.sources = (
        {"pcie_link_share": 0.5},
        {"NVLinks": 2},
        {"power_w": "RAPL"},
    )
    for second, is_new in ((1.0, True), (2.0, False)):
        reading.has_new_slow = is_new
        node.tick(second, 1000.0 + second)
    assert ["pcie_link_share" in line.metrics for line in lines(run)] == [True, False]
    found = devices_json(tmp_path)["cpu-0"]
    assert (found["metrics"]["pcie_link_share"], found["facts"], found["sources"]) == (
        0.5,
        {"NVLinks": 2},
        {"power_w": "RAPL"},
    )


def test_the_host_has_the_cost_of_sampling(tmp_path: Path, node: DeviceSampler) -> None:
    node.guarded_tick(time.monotonic() - 0.5)
    node.tick(2.0, 1001.0)
    found = devices_json(tmp_path)
    assert found["host"]["sampling_tick_ms"] == found["sampler"]["tick_mean_ms"] >= 500
    assert found["host"]["sampling_core_share"] == found["sampler"]["cpu_share"]


def test_a_full_disk_drops_lines_and_leaves_no_half_line_behind(
    tmp_path: Path, node: DeviceSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = attempt(tmp_path, "one", "cpu-0")
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:20]))
    node.tick(1.0, 1000.0)
    monkeypatch.setattr(os, "write", real)
    node.tick(2.0, 1001.0)
    half, whole = run.spool.joinpath("device.jsonl").read_bytes().splitlines()
    with pytest.raises(ValueError):
        wire.decode(half)
    assert wire.decode(whole).at == 1001.0
    assert devices_json(tmp_path)["sampler"]["dropped_lines"] == 1


def test_a_failed_tick_is_counted_and_does_not_end_the_sampler(
    tmp_path: Path, node: DeviceSampler, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "read", lambda *_: 1 / 0)
    node.guarded_tick(time.monotonic())
    monkeypatch.undo()
    node.guarded_tick(time.monotonic())
    found = devices_json(tmp_path)["sampler"]
    assert (found["errors"], found["last_error"]) == (1, "ZeroDivisionError: division by zero")


class Clock:
    """A clock that advances only in wait and work."""

    def __init__(self) -> None:
        self.now_s = 500.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        return self.now_s > 520


def walk(work_s: Callable[[int], float]) -> list[float]:
    clock, at = Clock(), []
    for number, now_s in enumerate(ticks(1.0, clock, clock.wait)):
        at.append(now_s)
        clock.now_s += work_s(number)
    return at


def test_ticks_do_not_drift_by_the_time_they_take() -> None:
    assert walk(lambda _: 0.3) == [500.0 + n for n in range(21)]


def test_ticks_that_a_slow_tick_overlaps_are_skipped() -> None:
    at = walk(lambda number: 2.5 if number == 3 else 0.1)
    assert at[:7] == [500, 501, 502, 503, 506, 507, 508]
