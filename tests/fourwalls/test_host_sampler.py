"""Readings of the machine beside a script: what is shipped, by which rank, and what is missing with a reason."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest

from fourwalls import options
from fourwalls.host_sampler import HostSampler, count_threads, select_visible
from fourwalls.launch import Launch
from fourwalls.system import portable, procfs, sources
from fourwalls.system.readings import DEVICE_METRICS, DeviceInfo
from tests.engine.telemetry.fake_nvml import FakeNvml
from tests.running import ROOT, wait_until

SINGLE = Launch(0, 0, 1, "a")
GPUS = [DeviceInfo(f"GPU-{letter}", "cuda", index, "H200", 1, None) for index, letter in enumerate("abcd")]


class Written:
    """Takes rows and messages of a sampler."""

    def __init__(self) -> None:
        self.queue: deque = deque()
        self.messages: list[tuple[str, dict]] = []

    def put(self, row: tuple) -> None:
        self.queue.append(row)

    def send(self, kind: str, values: dict) -> None:
        self.messages.append((kind, values))

    def sources(self) -> set[str]:
        return {row[3] for row in self.queue}


@pytest.fixture
def written() -> Written:
    return Written()


def sample(written: Written, process: Launch = SINGLE, count: int = 3, until: str = "") -> None:
    """Sample until there are `count` rows of the process, and a device has the metric `until`."""
    sampler = HostSampler(written.send, written, 0.05, process)
    wait_until(lambda: sum(row[3].startswith("rank") for row in written.queue) >= count)
    wait_until(lambda: not until or any(until in row[2] for row in written.queue))
    sampler.close()


def test_one_process_ships_host_device_and_its_own_memory(written):
    sample(written, until="utilisation_pct")
    kinds = {source.split(":")[0] for source in written.sources()}
    assert kinds == {"rank0", "host", "device"}
    values = {name for row in written.queue if row[3].startswith("device:cpu-") for name in row[2]}
    assert (
        {"utilisation_pct", "cores_used", "memory_used_bytes", "sampling_s"} <= values <= set(DEVICE_METRICS)
    )
    host = dict(written.messages)["host"]
    assert [device["kind"] for device in host["devices"]] == ["cpu"] and host["devices"][0][
        "memory_bytes"
    ] > 0
    missing = [values["missing"] for kind, values in written.messages if kind == "missing"]
    assert all(status != "unsupported" and reason for one in missing for status, reason in one.values())


def test_the_second_rank_of_a_host_ships_its_own_process_only(written):
    sample(written, Launch(5, 1, 8, "a"))
    assert written.sources() == {"rank5"}
    assert not [kind for kind, _ in written.messages if kind == "host"]


@pytest.mark.parametrize(
    ("visible", "found"),
    [(None, "abcd"), ("", ""), ("-1", ""), ("2,0", "ca"), ("GPU-b", "b"), ("1,9,2", "b"), (" 3 , 3 ", "d")],
)
def test_the_gpus_are_those_that_cuda_sees(visible, found):
    assert [one.id[-1] for one in select_visible(GPUS, visible)] == list(found)


@pytest.mark.parametrize(
    ("rank", "visible", "found"),
    [(0, None, "a"), (3, None, "d"), (0, "1", "b"), (2, "1", "b"), (1, "3,2", "c"), (5, None, "")],
)
def test_each_rank_reads_its_gpu_once(rank, visible, found, written, monkeypatch):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    sampler = HostSampler.__new__(HostSampler)
    sampler._process = Launch(rank, rank, 8, "a")
    assert [one.id[-1] for one in sampler._select(GPUS)] == list(found)


def test_a_machine_without_proc_gives_reasons_and_no_zeros():
    source = portable.PortableCpu(psutil=False)
    source._psutil = None
    (device,) = source.devices()
    reading = source.read(1.0, {device.id: [1]})[device.id]
    assert set(reading.metrics) == {"sampling_s"}
    assert all(reason for _, reason in reading.missing.values())
    assert set(reading.missing) | set(reading.metrics) == set(DEVICE_METRICS)


def test_psutil_reads_the_process_where_there_is_no_proc():
    psutil = pytest.importorskip("psutil")
    source = portable.PortableCpu(psutil)
    (device,) = source.devices()
    source.read(1.0, {device.id: [psutil.Process().pid]})
    reading = source.read(2.0, {device.id: [psutil.Process().pid, 2**22 + 1]})[device.id]
    assert reading.metrics["memory_used_bytes"] > 1e6 and reading.metrics["cores_used"] >= 0
    assert {"network_tx_bytes_per_s", "utilisation_pct"} <= reading.metrics.keys()


def test_without_nvidia_ml_py_there_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert sources.open_gpus() == (None, {"driver_absent": sources.NOT_INSTALLED})


def test_gpus_are_read_through_nvml(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    sample(written)
    gpus = [source for source in written.sources() if source.startswith("device:GPU")]
    assert len(gpus) == 1
    values = {name for row in written.queue if row[3] == gpus[0] for name in row[2]}
    assert {"power_w", "energy_j", "utilisation_pct", "memory_used_bytes"} <= values


def test_a_process_and_those_below_it_are_found():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in procfs.tree(procfs.os.getpid())
    finally:
        child.communicate()


@pytest.mark.parametrize(
    ("given", "variable", "every_s"),
    [
        (None, None, 2.0),
        (False, None, 0.0),
        (None, "0", 0.0),
        (None, "off", 0.0),
        (True, "0", 2.0),
        (None, "1", 2.0),
    ],
)
def test_the_readings_can_be_switched_off(given, variable, every_s, monkeypatch):
    monkeypatch.delenv("FOURWALLS_SYSTEM_S", raising=False)
    if variable is not None:
        monkeypatch.setenv("FOURWALLS_SYSTEM_METRICS", variable)
    assert options.read_options(system_metrics=given).system_s == every_s


def test_threads_are_those_of_torch_if_it_is_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: 3))
    assert count_threads() == 3
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert count_threads() == 2


LOADED = """
import json, sys
import fourwalls
before = set(sys.modules)
run = fourwalls.init(mode="offline", folder=sys.argv[1])
with run.step(), run.phase("data"):
    pass
run.finish()
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_the_client_loads_no_engine_no_torch_and_no_django(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"engine", "jobs", "dashboard", "torch", "django", "numpy"}


NO_SYSTEM = """
import sys
sys.modules["fcntl"] = sys.modules["pwd"] = sys.modules["resource"] = None
import os
for name in ("sched_getaffinity", "register_at_fork", "getloadavg", "sysconf", "fork"):
    if hasattr(os, name):
        delattr(os, name)
real = os.path.isdir
os.path.isdir = lambda path: False if str(path).startswith("/proc") else real(path)
from fourwalls import step_clock
from fourwalls.system import cgroup, cpu, energy, host, nvml, portable, procfs, readings, sources
assert not procfs.HAS_PROC and host.cores() > 0
print(portable.PortableCpu().devices()[0].kind)
"""


def test_the_readers_load_without_the_functions_of_one_system():
    done = subprocess.run(
        [sys.executable, "-c", NO_SYSTEM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "cpu", done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "fourwalls").rglob("*.py")), ids=lambda path: path.name)
def test_the_source_is_python_3_9(path: Path):
    ast.parse(path.read_text(), feature_version=(3, 9))
