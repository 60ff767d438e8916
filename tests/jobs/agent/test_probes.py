"""Probes of devices, when idle without a profile or on request."""

from __future__ import annotations

import stat
import sys
import time

import pytest
from django.core.management import CommandError, call_command

from engine.hardware.probe_results import EXIT_YIELDED, PROBE_VERSION, MeasuredFigure, ProbeReport, encode
from jobs.agent.probing import Prober
from jobs.models import Device, DeviceProfile, NodeEvent
from jobs.nodes import admin
from jobs.planning import device_profiles
from jobs.scheduler import loop
from tests.running import wait_until

pytestmark = pytest.mark.django_db

FOUND = ProbeReport(
    PROBE_VERSION, "2.13.0+cpu", "cpu", 1, 8.0, {"copy_bytes_per_s": MeasuredFigure(12e9, 11e9, 13e9, 9)},
    {"launch_s": ("unsupported", "no such thing")}, {"fp32": [(128, 4e10)]},
)  # fmt: skip

# Fake interpreter of the ranks: prints a torch version, or runs a fake probe that writes its pid and executes {does}.
INTERPRETER = """#!{python}
import os, sys, time
if sys.argv[1] == "-c":
    print("2.13.0+cpu")
    sys.exit(0)
with open({home!r} + "/started", "a") as file:
    print(os.getpid(), *sys.argv[4:], file=file)
{does}
"""
REPORTS = f"print({encode(FOUND).decode()!r})"


@pytest.fixture
def prober(node, settings, tmp_path, monkeypatch):
    """prober(does): a prober whose fake probes execute the code `does`."""
    settings.NODE_DIR.mkdir()
    settings.PROBE_AFTER_IDLE_S = 20

    def make(does: str = REPORTS) -> Prober:
        path = tmp_path / "interpreter"
        path.write_text(INTERPRETER.format(python=sys.executable, home=str(tmp_path), does=does))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("TRAINER_PYTHON", str(path))
        return Prober(node, settings.NODE_DIR)

    return make


@pytest.fixture
def started(tmp_path):
    """Return the started probes: pid, device, ..."""

    def read() -> list[list[str]]:
        path = tmp_path / "started"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    return read


class Clock:
    """Monotonic time of the agent's ticks."""

    def __init__(self, prober: Prober) -> None:
        self.now, self.prober = 1000.0, prober

    def idle(self, seconds: float) -> None:
        """Advance in ticks of half a second; real processes continue."""
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            self.prober.poll(self.now, is_idle=True)

    def until_settled(self) -> None:
        def settled() -> bool:
            self.idle(2.5)
            return self.prober._process is None

        wait_until(settled, 30, "the probe's end")


def test_devices_of_one_kind_are_probed_once_after_the_node_was_idle(prober, started):
    clock = Clock(prober())
    clock.idle(19)
    assert started() == []
    clock.idle(5)
    clock.until_settled()
    assert [row[1:] for row in started()] == [["a-0", "cpu", "1"]]
    clock.idle(60)
    assert len(started()) == 1
    profile = DeviceProfile.objects.get()
    assert (profile.name, profile.cores, profile.torch, profile.device) == (
        "cpu share",
        1.0,
        "2.13.0+cpu",
        "a-0",
    )
    assert profile.figures["copy_bytes_per_s"]["value"] == 12e9
    assert profile.missing == {"launch_s": ["unsupported", "no such thing"]}
    assert NodeEvent.objects.get(kind="node.probed").text == "Device 0 was probed in 8 s."


def test_a_device_of_a_known_kind_is_probed_only_on_request(prober, started, node):
    device_profiles.store_probe(Device.objects.get(id="a-1"), FOUND)
    clock = Clock(prober())
    clock.idle(60)
    assert started() == []
    assert [device.id for device in device_profiles.request_probe(node, "ada")] == ["a-0"]
    clock.idle(3)
    clock.until_settled()
    assert len(started()) == 1
    assert not device_profiles.is_probe_requested(node)
    assert DeviceProfile.objects.get().device == "a-0"


def test_another_torch_version_needs_a_new_probe(prober, started):
    DeviceProfile.objects.create(
        name="cpu share", kind="cpu", cores=1.0, torch="2.12.0", took_s=9, device="a-0", measured_at="2026-01-01T00:00Z"
    )  # fmt: skip
    clock = Clock(prober())
    clock.idle(25)
    clock.until_settled()
    assert len(started()) == 1
    assert DeviceProfile.objects.count() == 2


def test_an_attempt_kills_the_probe_which_starts_again_later(prober, started):
    clock = Clock(prober("time.sleep(600)"))
    clock.idle(25)
    wait_until(lambda: started(), 20, "the probe's start")
    child = clock.prober._process
    began = time.monotonic()
    clock.prober.poll(clock.now + 0.5, is_idle=False)
    assert child.returncode == -9  # killed before the supervisor is started
    assert time.monotonic() - began < 2
    assert DeviceProfile.objects.count() == 0
    assert Device.objects.get(id="a-0").probe_failure == ""
    clock.idle(18)
    assert len(started()) == 1
    clock.idle(5)
    wait_until(lambda: len(started()) == 2, 20, "the second probe")
    clock.prober.cancel()


def test_a_probe_that_finds_the_device_in_use_is_tried_again(prober, started):
    clock = Clock(prober(f"sys.exit({EXIT_YIELDED})"))
    clock.idle(25)
    wait_until(lambda: clock.idle(3) or len(started()) > 1, 30, "another try")
    assert Device.objects.get(id="a-0").probe_failure == ""


@pytest.mark.parametrize(
    "does, reason",
    [
        ("print('CUDA error: out of luck', file=sys.stderr); sys.exit(3)", "ended with 3. CUDA error: out of luck"),
        ("print('not json')", "report cannot be read"),
    ],
)  # fmt: skip
def test_a_failure_is_recorded_and_not_retried_automatically(prober, started, does, reason):
    clock = Clock(prober(does))
    clock.idle(25)
    clock.until_settled()
    assert reason in Device.objects.get(id="a-0").probe_failure
    clock.idle(60)
    clock.until_settled()
    assert sorted(row[1] for row in started()) == ["a-0", "a-1"]  # another device of this kind may work
    assert DeviceProfile.objects.count() == 0


def test_a_probe_that_takes_too_long_is_killed(prober, started):
    clock = Clock(prober("time.sleep(600)"))
    clock.idle(25)
    wait_until(lambda: started(), 20, "the probe's start")
    clock.idle(91)
    assert "took longer" in Device.objects.get(id="a-0").probe_failure
    clock.prober.cancel()


def test_idle_devices_are_not_probed_if_the_setting_is_off(prober, started, settings, node):
    settings.PROBE_AFTER_IDLE_S = 0
    clock = Clock(prober())
    clock.idle(60)
    assert started() == []
    call_command("probe", "a", user="ada")
    clock.idle(3)
    clock.until_settled()
    assert len(started()) == 1


def test_nothing_is_probed_during_maintenance(prober, started, node):
    admin.begin_maintenance(node, "ada", "new fan")
    clock = Clock(prober())
    clock.idle(60)
    assert started() == []
    node.refresh_from_db()
    with pytest.raises(CommandError, match="maintenance"):
        call_command("probe", "a")


def test_the_command_lists_the_known_profiles(node, capsys):
    device_profiles.store_probe(Device.objects.get(id="a-0"), FOUND)
    call_command("probe")
    text = capsys.readouterr().out
    assert "cpu share, 1 core, torch 2.13.0+cpu" in text
    assert "1.2e+10" in text


def test_a_node_with_work_is_not_idle(prober, started, node, make_job, settings):
    """Tested through the agent's tick."""
    from jobs.agent.loop import Agent

    prober()
    agent = Agent(node, settings.NODE_DIR)
    job = make_job()
    loop.schedule(job.pool)
    device_profiles.request_probe(node, "ada")
    agent._heartbeat_at = float("inf")
    agent.stop_reason = "leaving"  # so that the attempt is found but not started
    agent.tick()
    assert agent._prober._process is None
    assert started() == []
