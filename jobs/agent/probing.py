"""Probes of the node's idle devices, in a process that any attempt displaces.

A device may be leased while it is probed: the scheduler knows nothing of probes. The agent kills the probe in the tick
in which it finds the attempt, before it starts the supervisor. The device's lock proves that the probe is gone. A
supervisor that the agent did not start (`python -m engine train`) gets the device between two measurements
(engine.rank.bench.probe).
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
from engine.supervisor.environment import ROOT, filter_environment, interpreter
from jobs.models import Device, Node
from jobs.planning import device_profiles

log = logging.getLogger(__name__)

POLL_EVERY_S = 2.0
PROBE_LIMIT_S = 90.0
VERSION_LIMIT_S = 20.0
KILL_WAIT_S = 2.0


@dataclass
class Prober:
    """Runs the probes of one node. Its state is lost with the agent, and probing then starts again."""

    node: Node
    node_dir: Path
    _process: subprocess.Popen[bytes] | None = None
    _device: Device | None = None
    _started_at: float = 0.0
    _idle_since: float | None = None
    _poll_at: float = 0.0
    _torch_version: str | None = None  # of the ranks; '' if they have no torch
    _tried: set[str] = field(default_factory=set)

    def poll(self, now: float, is_idle: bool) -> None:
        """Start, check or cancel a probe. Call it in each tick, before attempts are started. `now` is monotonic."""
        if not is_idle:
            self._idle_since = None
            return self.cancel()
        if self._idle_since is None:
            self._idle_since = now
        if self._process is not None:
            return self._poll_process(now)
        if now >= self._poll_at:
            self._poll_at = now + POLL_EVERY_S
            self._start_due_probe(now, now - self._idle_since)
        return None

    def cancel(self) -> None:
        """Kill a running probe. Its device is free on return, unless its driver hangs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            # If it hangs in a driver, the supervisor of the attempt reports the held device.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(KILL_WAIT_S)

    def _start_due_probe(self, now: float, idle_s: float) -> None:
        after_s = settings.PROBE_AFTER_IDLE_S
        is_long_idle = bool(after_s) and idle_s >= after_s
        if not (is_long_idle or device_profiles.is_probe_requested(self.node)) or not self._ranks_torch():
            return
        device = device_profiles.next_to_probe(
            self.node, self._torch_version or "", self._tried, is_long_idle
        )
        if device is None:
            return
        try:
            self._process, self._device, self._started_at = self._start_process(device), device, now
        except OSError as error:
            self._record_failure(device, f"The probe could not be started: {error}.")

    def _start_process(self, device: Device) -> subprocess.Popen[bytes]:
        kind, threads = "cuda" if device.kind == "cuda" else "cpu", max(1, int(device.cores or 1))
        environment = filter_environment(os.environ) | {
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

    def _poll_process(self, now: float) -> None:
        process, device = self._process, self._device
        assert process is not None and device is not None
        if process.poll() is None:
            if now - self._started_at > PROBE_LIMIT_S:
                self.cancel()
                self._record_failure(device, f"The probe took longer than {PROBE_LIMIT_S:.0f} s.")
            return
        self._process = None
        output = process.communicate()[0]
        if process.returncode == EXIT_YIELDED:
            self._poll_at = now + POLL_EVERY_S  # an attempt that this agent did not start has the device
        elif process.returncode:
            self._record_failure(
                device, f"The probe ended with {process.returncode}. {self._last_log_line()}"
            )
        else:
            try:
                probed = decode(output)
            except ValueError as error:
                return self._record_failure(device, f"The probe's report cannot be read: {error}.")
            self._tried.add(device.id)
            device_profiles.store_probe(device, probed)
        return None

    def _record_failure(self, device: Device, reason: str) -> None:
        log.warning("Device %s: %s", device.id, reason)
        self._tried.add(device.id)
        device_profiles.record_probe_failure(device, reason)

    def _last_log_line(self) -> str:
        lines = (self.node_dir / "probe.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _ranks_torch(self) -> str:
        """Torch version of the interpreter that runs ranks, read once; '' if it has no torch to probe with."""
        if self._torch_version is None:
            self._torch_version = _read_torch_version()
        return self._torch_version


def _read_torch_version() -> str:
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
        log.warning("The torch version of the ranks cannot be read: %s", error)
        return ""
    return done.stdout.strip()
