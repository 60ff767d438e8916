"""The node's sampler: whose spool a reading lands in, when it ticks, and when it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import procfs
from engine.directory import AttemptDirectory, Placement, RankExit, Seat, State
from engine.spec import parse
from engine.telemetry import inventory, sampler, wire
from engine.telemetry.attempts import Attempts
from engine.telemetry.energy import Energy
from engine.telemetry.faults import of_xid
from engine.telemetry.readings import DeviceInfo, Reading
from engine.telemetry.sampler import Sampler, ticks
from tests.engine.supervised import ROOT, until


class Meter:
    """A source whose readings the test sets."""

    def __init__(self, *devices: str) -> None:
        self.values = {device: Reading({"utilisation_pct": 50.0}, {}, 100.0) for device in devices}
        self.pids: Mapping[str, Sequence[int]] = {}

    def devices(self) -> list[DeviceInfo]:
        return []

    def read(self, now_s: float, pids: Mapping[str, Sequence[int]]) -> dict[str, Reading]:
        self.pids = pids
        return {
            k: msgspec.structs.replace(r, metrics=dict(r.metrics), missing=dict(r.missing))
            for k, r in self.values.items()
        }

    def close(self) -> None: ...


def attempt(
    node_dir: Path, name: str, *devices: str, state: str = "running", pid: int = 0, age_s: float = 0.0
) -> AttemptDirectory:
    """An attempt directory as a supervisor with this pid (ours, if none is given) would have written it."""
    directory = AttemptDirectory(node_dir / "attempts" / name)
    seats = tuple(Seat(r, r, device, "cpu", r, r, 0) for r, device in enumerate(devices))
    placement = Placement("j", "r", 1, "n", len(seats), "127.0.0.1", 0, seats, 1, "locks", "data", "corpora")
    directory.create(parse({}), placement, {}, time.time() + 60)
    report(directory, state, pid or os.getpid(), age_s, len(seats))
    return directory


def report(directory: AttemptDirectory, state: str, pid: int, age_s: float = 0.0, ranks: int = 1) -> None:
    found, now = procfs.stat(pid), time.time()
    ticks_ = found.started_ticks if found else 1.0
    exits = tuple(RankExit(rank, 1000 + rank) for rank in range(ranks))
    directory.write_state(State(state, pid, ticks_, now - age_s, now, exits))  # type: ignore[arg-type]


def lines(directory: AttemptDirectory) -> list[wire.Line]:
    file = directory.spool / "device.jsonl"
    return [wire.decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def devices_json(node_dir: Path) -> dict[str, Any]:
    return json.loads((node_dir / "devices.json").read_bytes())


def sampler_of(node_dir: Path, meter: Meter) -> Sampler:
    return Sampler(node_dir / "devices.json", Attempts(node_dir / "attempts").live, meter, 1.0)


@pytest.fixture
def meter() -> Meter:
    return Meter("cpu-0", "cpu-1")


@pytest.fixture
def node(tmp_path: Path, meter: Meter) -> Sampler:
    return sampler_of(tmp_path, meter)


def test_each_attempt_gets_the_lines_of_its_own_devices(tmp_path: Path, node: Sampler) -> None:
    one, other = attempt(tmp_path, "one", "cpu-0"), attempt(tmp_path, "other", "cpu-1")
    node.tick(1.0, 1000.0)
    assert [line.source for line in lines(one)] == ["device:cpu-0"]
    assert [line.source for line in lines(other)] == ["device:cpu-1"]
    assert lines(one)[0].k == "device" and lines(one)[0].at == 1000.0
    assert lines(one)[0].metrics["utilisation_pct"] == 50.0


def test_the_source_is_told_the_processes_on_each_device(tmp_path: Path, node: Sampler, meter: Meter) -> None:
    attempt(tmp_path, "one", "cpu-1", "cpu-0")
    node.tick(1.0, 1000.0)
    assert meter.pids == {"cpu-1": [1000], "cpu-0": [1001]}


def test_a_fault_of_a_device_is_told_once_to_the_attempt_that_holds_it(
    tmp_path: Path, node: Sampler, meter: Meter
) -> None:
    one, other = attempt(tmp_path, "one", "cpu-0"), attempt(tmp_path, "other", "cpu-1")
    before = of_xid(48, time.time() - 100.0)  # somebody else's
    meter.values["cpu-0"].faults = [before]
    node.tick(1.0, 1000.0)
    fault = of_xid(79, time.time() + 1.0)
    meter.values["cpu-0"].faults = [before, fault]
    for second in (2.0, 3.0):
        node.tick(second, 1000.0 + second)
    notes = [line for line in lines(one) if line.k == "note"]
    assert [(n.text, n.level) for n in notes] == [
        ("Device cpu-0: Xid 79: it has fallen off the bus.", "error")
    ]
    assert not [line for line in lines(other) if line.k == "note"]
    told = devices_json(tmp_path)["cpu-0"]["faults"]
    assert [(f["code"], f["is_hardware"]) for f in told] == [("xid 48", True), ("xid 79", True)]


@pytest.mark.parametrize("state", ["succeeded", "stopped", "failed"])
def test_an_ended_attempt_gets_no_line(tmp_path: Path, node: Sampler, state: str) -> None:
    ended = attempt(tmp_path, "one", "cpu-0", state=state)
    node.tick(1.0, 1000.0)
    assert lines(ended) == [] and not node.has_live_attempts


def test_an_attempt_whose_supervisor_was_killed_gets_no_line(tmp_path: Path, node: Sampler) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = attempt(tmp_path, "one", "cpu-0", pid=gone.pid)
    node.tick(1.0, 1000.0)
    assert lines(left) == [] and not node.has_live_attempts


def test_attempts_are_found_and_left_while_the_sampler_runs(tmp_path: Path, node: Sampler) -> None:
    node.tick(1.0, 1000.0)
    late = attempt(tmp_path, "late", "cpu-0")
    node.tick(2.0, 1001.0)
    report(late, "succeeded", os.getpid())
    node.tick(3.0, 1002.0)
    assert [line.at for line in lines(late)] == [1001.0]


def test_a_directory_that_is_still_being_written_is_waited_for(tmp_path: Path, node: Sampler) -> None:
    half = tmp_path / "attempts" / "half"
    half.mkdir(parents=True)
    node.tick(1.0, 1000.0)
    whole = attempt(tmp_path, "half", "cpu-0")
    node.tick(2.0, 1001.0)
    assert len(lines(whole)) == 1


def test_what_is_missing_is_told_at_first_and_when_it_changes(
    tmp_path: Path, node: Sampler, meter: Meter
) -> None:
    run = attempt(tmp_path, "one", "cpu-0")
    reading = meter.values["cpu-0"]
    reading.missing = {"power_w": ("denied", "only root may")}
    node.tick(1.0, 1000.0)
    node.tick(2.0, 1001.0)
    reading.missing = {"power_w": ("error", "lost")}
    node.tick(3.0, 1002.0)
    told = [line.missing for line in lines(run)]
    assert told == [{"power_w": ("denied", "only root may")}, {}, {"power_w": ("error", "lost")}]


def test_devices_json_holds_the_newest_readings_the_host_and_the_cost(tmp_path: Path, node: Sampler) -> None:
    node.guarded_tick(time.monotonic() - 0.5)
    node.tick(2.0, 1001.0)
    found = devices_json(tmp_path)
    assert found["cpu-0"]["at"] == 1001.0 and found["cpu-0"]["metrics"]["utilisation_pct"] == 50.0
    assert found["cpu-0"]["missing"]["energy_j"] == ["absent", "no attempt on this device"]
    assert found["host"]["memory_total_bytes"] > 0
    assert found["sampler"]["tick_ms"] >= 500 and found["sampler"]["cpu_share"] is not None


def test_slow_readings_are_a_point_when_they_are_new_and_stay_in_the_file(
    tmp_path: Path, node: Sampler, meter: Meter
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
    told = devices_json(tmp_path)["cpu-0"]
    assert (told["metrics"]["pcie_link_share"], told["facts"], told["sources"]) == (
        0.5,
        {"NVLinks": 2},
        {"power_w": "RAPL"},
    )


def test_the_host_tells_what_sampling_costs(tmp_path: Path, node: Sampler) -> None:
    node.guarded_tick(time.monotonic() - 0.5)
    node.tick(2.0, 1001.0)
    told = devices_json(tmp_path)
    assert told["host"]["sampling_tick_ms"] == told["sampler"]["tick_mean_ms"] >= 500
    assert told["host"]["sampling_core_share"] == told["sampler"]["cpu_share"]


def test_energy_counts_from_the_begin_of_the_attempt(tmp_path: Path, node: Sampler, meter: Meter) -> None:
    run = attempt(tmp_path, "one", "cpu-0")
    for second, counter_j in enumerate((100.0, 130.0, 175.5)):
        meter.values["cpu-0"].energy_counter_j = counter_j
        node.tick(float(second), time.time())
    assert [line.metrics["energy_j"] for line in lines(run)] == [0.0, 30.0, 75.5]


def test_energy_goes_on_over_a_restart_of_the_sampler(tmp_path: Path, node: Sampler, meter: Meter) -> None:
    run = attempt(tmp_path, "one", "cpu-0")
    node.tick(1.0, time.time())
    meter.values["cpu-0"].energy_counter_j = 140.0
    sampler_of(tmp_path, meter).tick(2.0, time.time() + 60)
    assert [line.metrics["energy_j"] for line in lines(run)] == [0.0, 40.0]


def test_a_sampler_that_came_late_does_not_pretend_to_know_the_energy(tmp_path: Path, node: Sampler) -> None:
    run = attempt(tmp_path, "one", "cpu-0", age_s=300)
    node.tick(1.0, time.time())
    (line,) = lines(run)
    assert "energy_j" not in line.metrics and line.missing["energy_j"][0] == "absent"


def test_a_reset_energy_counter_is_an_error_once_and_never_negative() -> None:
    energy, told = Energy(), []
    for counter_j in (100.0, 150.0, 10.0, 30.0):
        reading = Reading(energy_counter_j=counter_j)
        energy.put(reading, "one", "gpu", attempt_age_s=1.0)
        told.append(reading.metrics.get("energy_j", reading.missing.get("energy_j", [None])[0]))
    assert told == [0.0, 50.0, "error", 70.0]


def test_a_full_disk_drops_lines_and_leaves_no_half_line_behind(
    tmp_path: Path, node: Sampler, monkeypatch: pytest.MonkeyPatch
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


def test_a_tick_that_fails_is_a_gap_that_is_counted_and_not_the_end(
    tmp_path: Path, node: Sampler, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "read", lambda *_: 1 / 0)
    node.guarded_tick(time.monotonic())
    monkeypatch.undo()
    node.guarded_tick(time.monotonic())
    told = devices_json(tmp_path)["sampler"]
    assert (told["errors"], told["last_error"]) == (1, "ZeroDivisionError: division by zero")


class Clock:
    """Time that passes only while it is waited for or worked through."""

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


def test_a_slow_tick_is_made_up_for_by_none() -> None:
    at = walk(lambda number: 2.5 if number == 3 else 0.1)
    assert at[:7] == [500, 501, 502, 503, 506, 507, 508]


def start(node_dir: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "engine.telemetry.sampler", str(node_dir), "--period", "0.2", *options]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(tmp_path)
    until((tmp_path / "devices.json").exists, "a first tick")
    yield process
    process.kill()
    process.communicate()


def test_a_second_sampler_leaves_at_once_and_the_first_goes_on(
    tmp_path: Path, started: subprocess.Popen[bytes]
) -> None:
    second = start(tmp_path)
    second.communicate(timeout=30)
    assert second.returncode == 0 and started.poll() is None
    seen = devices_json(tmp_path)["sampler"]["ticks"]
    until(lambda: devices_json(tmp_path)["sampler"]["ticks"] > seen, "another tick of the first")


def test_sigterm_ends_it_in_good_order(tmp_path: Path, started: subprocess.Popen[bytes]) -> None:
    started.send_signal(signal.SIGTERM)
    assert started.communicate(timeout=30)[1] == b"" and started.returncode == 0


def test_this_machines_devices_are_read(tmp_path: Path, started: subprocess.Popen[bytes]) -> None:
    found = devices_json(tmp_path)
    devices = found.keys() - {"host", "sampler"}
    assert devices and found["sampler"]["pid"] == started.pid and found["sampler"]["errors"] == 0


def test_it_leaves_when_agent_and_attempts_are_gone_for_long(tmp_path: Path) -> None:
    (tmp_path / "agent.alive").touch()
    long_ago = time.time() - sampler.ABANDONED_S - 60
    os.utime(tmp_path / "agent.alive", (long_ago, long_ago))
    process = start(tmp_path)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_it_leaves_when_the_nodes_folder_is_removed(tmp_path: Path) -> None:
    node_dir = tmp_path / "node"
    process = start(node_dir)
    until((node_dir / "devices.json").exists, "a first tick")
    node_dir.rename(tmp_path / "gone")
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_it_stays_for_a_live_attempt_although_the_agent_is_gone(tmp_path: Path) -> None:
    run = attempt(tmp_path, "one", inventory.devices()[0].id)
    (tmp_path / "agent.alive").touch()
    os.utime(tmp_path / "agent.alive", (1, 1))
    process = start(tmp_path)
    until(lambda: len(lines(run)) >= 2, "two lines")
    assert process.poll() is None
    report(run, "succeeded", os.getpid())
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_period_out_of_range_is_refused(tmp_path: Path) -> None:
    process = start(tmp_path, "--period", "0")
    assert b"out of range" in process.communicate(timeout=30)[1] and process.returncode == 2
