"""Probes the node's devices while they stand idle, in a process that gives way to any attempt at once.

A device that is being probed may be leased all the same: the scheduler knows nothing of probes. The agent kills the
probe in the very tick in which it sees the attempt, before it starts its supervisor, and the device's lock proves that
nothing of the probe is left. A supervisor that the agent has not started (`python -m engine train`) gets the device
between two measurements (engine.rank.bench.probe).
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from engine.hardware.probe_results import EXIT_YIELDED, decode
from engine.supervisor.environment import ROOT, allowed, interpreter
from jobs.models import Device, Node
from jobs.planning import device_profiles

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
PROBE_LIMIT_S = 90.0
VERSION_LIMIT_S = 20.0
KILL_WAIT_S = 2.0


@dataclass
class Prober:
    """What one agent remembers of its probes; after kill -9 it begins anew."""

    node: Node
    node_dir: Path
    _child: subprocess.Popen[bytes] | None = None
    _device: Device | None = None
    _started_at: float = 0.0
    _idle_since: float | None = None
    _look_at: float = 0.0
    _torch: str | None = None  # the ranks' version; '' where they have none
    _tried: set[str] = field(default_factory=set)

    def look(self, now: float, is_idle: bool) -> None:
        """Call it in each tick, before attempts are attended to. `now` is monotonic."""
        if not is_idle:
            self._idle_since = None
            return self.give_way()
        if self._idle_since is None:
            self._idle_since = now
        if self._child is not None:
            return self._follow(now)
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            self._begin(now, now - self._idle_since)
        return None

    def give_way(self) -> None:
        """End a probe that runs; its device is free when this returns, unless its driver hangs."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            with contextlib.suppress(
                subprocess.TimeoutExpired
            ):  # stuck in a driver: its supervisor will say so
                child.wait(KILL_WAIT_S)

    def _begin(self, now: float, idle_s: float) -> None:
        after_s = settings.PROBE_AFTER_IDLE_S
        is_long_idle = bool(after_s) and idle_s >= after_s
        if not (is_long_idle or device_profiles.is_probe_requested(self.node)) or not self._torch_of_ranks():
            return
        device = device_profiles.next_to_probe(self.node, self._torch or "", self._tried, is_long_idle)
        if device is None:
            return
        try:
            self._child, self._device, self._started_at = self._start(device), device, now
        except OSError as error:
            self._end(device, f"The probe could not be started: {error}.")

    def _start(self, device: Device) -> subprocess.Popen[bytes]:
        kind, threads = "cuda" if device.kind == "cuda" else "cpu", max(1, int(device.cores or 1))
        environment = allowed(os.environ) | {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
            "OMP_NUM_THREADS": str(threads),
            "CUDA_VISIBLE_DEVICES": device.id if kind == "cuda" else "",
        }
        command = [
            interpreter(),
            "-m",
            "engine.rank.bench.probe",
            str(self.node_dir / "locks"),
            device.id,
            kind,
        ]
        with (self.node_dir / "probe.log").open("wb") as errors:
            return subprocess.Popen(
                [*command, str(threads)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                env=environment, start_new_session=True,
            )  # fmt: skip

    def _follow(self, now: float) -> None:
        child, device = self._child, self._device
        assert child is not None and device is not None
        if child.poll() is None:
            if now - self._started_at > PROBE_LIMIT_S:
                self.give_way()
                self._end(device, f"The probe took longer than {PROBE_LIMIT_S:.0f} s.")
            return
        self._child = None
        said = child.communicate()[0]
        if child.returncode == EXIT_YIELDED:
            self._look_at = now + LOOK_EVERY_S  # an attempt that is none of ours has the device
        elif child.returncode:
            self._end(device, f"The probe ended with {child.returncode}. {self._last_line()}")
        else:
            try:
                probed = decode(said)
            except ValueError as error:
                return self._end(device, f"The probe's report cannot be read: {error}.")
            self._tried.add(device.id)
            device_profiles.store_probe(device, probed)
        return None

    def _end(self, device: Device, reason: str) -> None:
        log.warning("Device %s: %s", device.id, reason)
        self._tried.add(device.id)
        device_profiles.record_probe_failure(device, reason)

    def _last_line(self) -> str:
        lines = (self.node_dir / "probe.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _torch_of_ranks(self) -> str:
        """Asked once, of the interpreter that runs ranks; '' where it has no torch: there is nothing to probe with."""
        if self._torch is None:
            self._torch = _version_of_torch()
        return self._torch


def _version_of_torch() -> str:
    if not os.environ.get("TRAINER_PYTHON") and not importlib.util.find_spec("torch"):
        return ""
    program = "from importlib.metadata import version; print(version('torch'))"
    try:
        done = subprocess.run(
            [interpreter(), "-c", program],
            capture_output=True,
            text=True,
            timeout=VERSION_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("The ranks' torch cannot be asked for its version: %s", error)
        return ""
    return done.stdout.strip()
