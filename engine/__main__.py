"""Command `python -m engine`: training, plans, verdicts, without a dashboard.

    python -m engine train FILE.yaml|PRESET --dir DIR [--set model.layers=4 ...] [--resume]
    python -m engine plan FILE.yaml|PRESET [--device NAME] [--count N] [--host-gib N] [--disk-gib N] [--json]
    python -m engine judge DIR [--device NAME] [--json]
    python -m engine trace --dir DIR [--steps N] [--rank R ...]
    python -m engine devices

`train` ends with one line of JSON on stdout. Exit codes: 0 succeeded, 1 failed, 2 not started, 75 stopped at a step
boundary. `plan` ends with 1 if the plan will not fit, `judge` with 1 if there is nothing to judge yet.
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

from engine.commands.judge import run_judge
from engine.commands.plan import PlanOptions, run_plan
from engine.directory import TRACE_STEPS, AttemptDirectory, SupervisorState, TraceRequest
from engine.follow import RunProgress, SpoolFollower
from engine.local import LEASE_S, LocalFolders, load_spec, prepare_attempt
from engine.spec.spec import SpecError
from engine.supervisor.root_cause import read_tail
from engine.supervisor.supervise import EXIT_CODES, start_cold
from engine.telemetry import inventory
from engine.telemetry.attempts import local_attempt
from engine.telemetry.sampler import DeviceSampler
from engine.verdict.attempt_facts import NoAttempt
from fourwalls.system.sources import open_source

EXIT_USAGE = 2
POLL_S = 0.1
SAMPLE_S = 1.0


class StopHandler:
    """Handles Ctrl-C: the first stops at a step boundary with a checkpoint, the second kills the ranks."""

    def __init__(self, directory: AttemptDirectory, supervisor: subprocess.Popen[bytes]) -> None:
        self._directory, self._supervisor = directory, supervisor
        self._num_requests = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._num_requests += 1
        if self._num_requests == 1:
            try:
                self._directory.write_control("stop")
            except OSError:
                self._supervisor.terminate()  # it stops its ranks in the same way
            _print_message(
                "\nStopping at a step boundary with a checkpoint. Press Ctrl-C again to kill the ranks."
            )
        else:
            self._supervisor.kill()  # its ranks die with it


class LeaseRenewal:
    """Renews the lease of an attempt. A disk that cannot be written does not end the training."""

    def __init__(self, directory: AttemptDirectory) -> None:
        self._directory, self._reason = directory, ""

    def renew(self) -> None:
        """Renew the lease and print once why the folder cannot be written, and once when it can be again."""
        try:
            error, after = self._directory.write_lease(time.time() + LEASE_S), "Training goes on"
        except OSError as raised:
            error = raised
            after = (
                f"Training goes on, and stops at a step boundary in {LEASE_S:.0f} s if this does not change"
            )
        reason = "" if error is None else error.strerror or str(error)
        if reason and not self._reason:
            lost = "curves, logs and checkpoints have gaps until there is space"
            _print_message(f"{self._directory.path} cannot be written: {reason}. {after}; {lost}.")
        elif self._reason and not reason:
            _print_message(f"{self._directory.path} can be written again.")
        self._reason = reason


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    if options.command == "devices":
        return _list_devices()
    if options.command == "plan":
        return _plan(options)
    if options.command == "judge":
        return _judge(AttemptDirectory(options.folder.resolve()), options.json, options.device)
    directory = AttemptDirectory(options.dir.resolve())
    if options.command == "trace":
        return _trace(directory, options.steps, tuple(options.rank or [0]))
    return _train(options.spec, options.set, directory, options.resume)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Train without a dashboard.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train a spec on this machine's devices")
    planned = commands.add_parser("plan", help="predict memory and time of a spec before it runs")
    for command in (train, planned):
        command.add_argument("spec", help="a YAML file, or the name of a preset")
        command.add_argument(
            "--set", action="append", default=[], metavar="FIELD=VALUE", help="e.g. model.layers=4"
        )
    train.add_argument("--dir", type=Path, required=True, help="the folder for logs, checkpoints and figures")
    train.add_argument("--resume", action="store_true", help="resume from the newest checkpoint in --dir")
    planned.add_argument("--device", metavar="NAME", help="e.g. 'H100 SXM' (default: those of this machine)")
    planned.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="number of devices (default: those of a node, at least one per rank)",
    )
    planned.add_argument("--host-gib", type=float, metavar="N", help="host memory of a node")
    planned.add_argument("--disk-gib", type=float, metavar="N", help="free disk for checkpoints")
    judged = commands.add_parser("judge", help="name the hardware limit that an attempt meets")
    judged.add_argument(
        "folder", type=Path, metavar="DIR", help="the --dir of 'train', or an attempt of a node"
    )
    judged.add_argument(
        "--device", metavar="NAME", help="speeds of this device (default: those stored in the folder)"
    )
    for command in (planned, judged):
        command.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("devices", help="list this machine's devices as JSON")
    trace = commands.add_parser("trace", help="trace the next steps of a running attempt")
    trace.add_argument("--dir", type=Path, required=True, help="the --dir of 'train'")
    trace.add_argument("--steps", type=int, default=3, choices=range(1, TRACE_STEPS + 1), metavar="STEPS")
    trace.add_argument("--rank", type=int, action="append", help="may be repeated (default: 0)")
    return parser


def _plan(options: argparse.Namespace) -> int:
    try:
        return run_plan(
            PlanOptions(
                options.spec, options.set, options.device, options.count, options.host_gib, options.disk_gib,
                options.json,
            )
        )  # fmt: skip
    except SpecError as error:
        return _refuse(error)


def _judge(directory: AttemptDirectory, is_json: bool, device: str | None) -> int:
    try:
        return run_judge(directory, is_json, device)
    except NoAttempt as error:
        _print_message(str(error))
        return EXIT_USAGE
    except SpecError as error:
        return _refuse(error)


def _refuse(error: SpecError) -> int:
    for problem in error.problems:
        _print_message(f"{problem.field}: {problem.message}" if problem.field else problem.message)
    return EXIT_USAGE


def _list_devices() -> int:
    found = {"devices": msgspec.to_builtins(inventory.devices()), "node": inventory.node_facts()}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


def _trace(directory: AttemptDirectory, steps: int, ranks: tuple[int, ...]) -> int:
    if not directory.trace.is_dir():
        _print_message(f"{directory.path} is not the folder of a run.")
        return EXIT_USAGE
    before = directory.read_trace_request()
    directory.request_trace(TraceRequest((before.number if before else 0) + 1, steps, ranks))
    _print_message(f"The next {steps} steps will be traced; the files go to {directory.trace}.")
    return 0


def _train(source: str, changes: list[str], directory: AttemptDirectory, is_resumed: bool) -> int:
    try:
        spec = load_spec(source, changes)
        prepare_attempt(directory, spec, inventory.devices(), LocalFolders.from_environment(), is_resumed)
    except SpecError as error:
        return _refuse(error)
    except OSError as error:
        _print_message(f"{directory.path} cannot be written: {error.strerror or error}.")
        return EXIT_USAGE
    follower = SpoolFollower(directory, spec.num_steps)
    supervisor = start_cold(directory)
    StopHandler(directory, supervisor)
    _follow(directory, follower, supervisor)
    return _print_result(directory, follower.poll(), supervisor.returncode)


def _follow(
    directory: AttemptDirectory, follower: SpoolFollower, supervisor: subprocess.Popen[bytes]
) -> None:
    """Show progress, renew the lease and sample the devices until the supervisor has ended."""
    source, _ = open_source()
    attempt = local_attempt(directory.path)
    sampler = DeviceSampler(directory.path / "devices.json", lambda: _if_live(attempt), source, SAMPLE_S)
    lease, sample_at_s = LeaseRenewal(directory), time.monotonic()
    while supervisor.poll() is None:
        if time.monotonic() >= sample_at_s:
            sampler.guarded_tick(time.monotonic())
            lease.renew()
            sample_at_s += SAMPLE_S
        _show(follower.poll())
        time.sleep(POLL_S)
    source.close()


def _if_live(attempt: Any) -> list[Any]:
    attempt.refresh()
    return [attempt] if attempt.is_live else []


def _show(progress: RunProgress) -> None:
    for note in progress.notes:
        _print_message(note)
    progress.notes.clear()
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{progress}")
        sys.stdout.flush()


def _print_result(directory: AttemptDirectory, progress: RunProgress, exit_code: int) -> int:
    """Print the result as one line of JSON on stdout, and the last log lines of the failed rank on stderr."""
    state = directory.read_state()
    if state is None or not state.is_terminal:
        state = _state_of_dead_supervisor(directory, exit_code)
    _show(progress)
    if sys.stdout.isatty():
        sys.stdout.write("\n")
    for line in state.stderr_tail:
        _print_message(line)
    checkpoint = directory.newest_checkpoint()
    result = {
        "state": state.state, "reason": state.reason, "step": progress.step, "steps": progress.steps,
        "metrics": {name: x if math.isfinite(x) else str(x) for name, x in progress.metrics.items()},
        "checkpoint": str(checkpoint) if checkpoint else None, "dir": str(directory.path),
    }  # fmt: skip
    sys.stdout.write(json.dumps(result) + "\n")
    return EXIT_CODES[state.state]


def _state_of_dead_supervisor(directory: AttemptDirectory, exit_code: int) -> SupervisorState:
    """Build the terminal state of an attempt whose supervisor ended without writing one."""
    how = f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with {exit_code}"
    now, tail = time.time(), read_tail(directory.log / "supervisor.log")
    return SupervisorState(
        "failed", 0, 0.0, now, now, reason=f"the supervisor {how}", stderr_tail=tail, ended_at=now
    )


def _print_message(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
