"""python -m engine: train a spec on this machine without a dashboard, or list its devices.

    python -m engine train FILE.yaml|PRESET --dir DIR [--set model.layers=4 ...] [--resume]
    python -m engine devices

`train` ends with one line of JSON on stdout and exits 0 only if the run succeeded: 1 failed, 2 could not be started,
75 stopped at a step border.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from engine.directory import TRACE_STEPS, AttemptDirectory, State, TraceRequest
from engine.follow import Follower, Progress
from engine.local import LEASE_S, Folders, prepare, spec_of
from engine.spec.spec import SpecError
from engine.supervisor.root_cause import tail_of
from engine.supervisor.supervise import EXIT_CODES, start_cold
from engine.telemetry import inventory
from engine.telemetry.attempts import local_attempt
from engine.telemetry.sampler import DeviceSampler
from engine.telemetry.sources import open_source

EXIT_USAGE = 2
LOOK_S = 0.1
SAMPLE_S = 1.0


class Stop:
    """Ctrl-C once: a stop at a step border, with a checkpoint. Twice: the ranks are killed."""

    def __init__(self, directory: AttemptDirectory, supervisor: subprocess.Popen[bytes]) -> None:
        self._directory, self._supervisor = directory, supervisor
        self._asked = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1
        if self._asked == 1:
            self._directory.write_control("stop")
            _say("\nStopping at a step border, with a checkpoint; Ctrl-C again kills the ranks.")
        else:
            self._supervisor.kill()  # its ranks die with it


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Train without a dashboard.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train a spec on this machine's devices")
    train.add_argument("spec", help="a YAML file, or the name of a preset")
    train.add_argument("--dir", type=Path, required=True, help="the folder for logs, checkpoints and figures")
    train.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="e.g. model.layers=4"
    )
    train.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --dir")
    commands.add_parser("devices", help="list this machine's devices as JSON")
    trace = commands.add_parser("trace", help="profile the next steps of what trains in a folder")
    trace.add_argument("--dir", type=Path, required=True, help="the folder that 'train' was given")
    trace.add_argument("--steps", type=int, default=3, choices=range(1, TRACE_STEPS + 1), metavar="STEPS")
    trace.add_argument("--rank", type=int, action="append", help="may be repeated (default: 0)")
    options = parser.parse_args(arguments)
    if options.command == "devices":
        return _list_devices()
    if options.command == "trace":
        return _trace(AttemptDirectory(options.dir.resolve()), options.steps, tuple(options.rank or [0]))
    return _train(options.spec, options.set, AttemptDirectory(options.dir.resolve()), options.resume)


def _list_devices() -> int:
    found = {"devices": msgspec.to_builtins(inventory.devices()), "node": inventory.node_facts()}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


def _trace(directory: AttemptDirectory, steps: int, ranks: tuple[int, ...]) -> int:
    if not directory.trace.is_dir():
        _say(f"{directory.path} is no folder of a training run.")
        return EXIT_USAGE
    before = directory.read_trace_request()
    directory.ask_for_trace(TraceRequest((before.number if before else 0) + 1, steps, ranks))
    _say(f"The next {steps} steps are traced; the files will lie in {directory.trace}.")
    return 0


def _train(source: str, changes: list[str], directory: AttemptDirectory, is_resumed: bool) -> int:
    try:
        spec = spec_of(source, changes)
        prepare(directory, spec, inventory.devices(), Folders.of_this_machine(), is_resumed)
    except SpecError as error:
        for problem in error.problems:
            _say(f"{problem.field}: {problem.message}" if problem.field else problem.message)
        return EXIT_USAGE
    except OSError as error:
        _say(f"{directory.path} cannot be written: {error.strerror or error}.")
        return EXIT_USAGE
    follower = Follower(directory, spec.num_steps)
    supervisor = start_cold(directory)
    Stop(directory, supervisor)
    _follow(directory, follower, supervisor)
    return _report(directory, follower.look(), supervisor.returncode)


def _follow(directory: AttemptDirectory, follower: Follower, supervisor: subprocess.Popen[bytes]) -> None:
    """Until the supervisor has ended: show progress, renew the lease, sample the devices."""
    source, _ = open_source()
    attempt = local_attempt(directory.path)
    sampler = DeviceSampler(directory.path / "devices.json", lambda: _if_live(attempt), source, SAMPLE_S)
    sample_at_s = time.monotonic()
    while supervisor.poll() is None:
        if time.monotonic() >= sample_at_s:
            sampler.guarded_tick(time.monotonic())
            directory.write_lease(time.time() + LEASE_S)
            sample_at_s += SAMPLE_S
        _show(follower.look())
        time.sleep(LOOK_S)
    source.close()


def _if_live(attempt: Any) -> list[Any]:
    attempt.refresh()
    return [attempt] if attempt.is_live else []


def _show(progress: Progress) -> None:
    for note in progress.notes:
        _say(note)
    progress.notes.clear()
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{progress}")
        sys.stdout.flush()


def _report(directory: AttemptDirectory, progress: Progress, exit_code: int) -> int:
    """The end as one line of JSON; for people, the last words of the rank that failed first."""
    state = directory.read_state()
    if state is None or not state.is_terminal:
        state = _died(directory, exit_code)
    _show(progress)
    if sys.stdout.isatty():
        sys.stdout.write("\n")
    for line in state.stderr_tail:
        _say(line)
    checkpoint = directory.newest_checkpoint()
    result = {
        "state": state.state, "reason": state.reason, "step": progress.step, "steps": progress.steps,
        "metrics": {name: x if math.isfinite(x) else str(x) for name, x in progress.metrics.items()},
        "checkpoint": str(checkpoint) if checkpoint else None, "dir": str(directory.path),
    }  # fmt: skip
    sys.stdout.write(json.dumps(result) + "\n")
    return EXIT_CODES[state.state]


def _died(directory: AttemptDirectory, exit_code: int) -> State:
    """What is to say of an attempt whose supervisor could say nothing."""
    how = f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with {exit_code}"
    now, tail = time.time(), tail_of(directory.log / "supervisor.log")
    return State("failed", 0, 0.0, now, now, reason=f"the supervisor {how}", stderr_tail=tail, ended_at=now)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
