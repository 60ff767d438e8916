"""Injected slowness of a rank: sleeps in data, blocks, collectives, loop.

Sleeps take the same time on a busy and an idle host. The product does not use this module.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FILE = "inject.json"  # in the attempt's directory
SMALL_BYTES = 4096  # smaller collectives belong to the loop itself
PAGE = 4096


def put(directory: Path, **seconds: Any) -> None:
    """Write the injections for `apply`; `ranks` limits them by name: {"data_s": 0.01, "ranks": {"data_s": [0]}}."""
    (directory / FILE).write_text(json.dumps(seconds))


def apply(directory: Path, rank: int) -> None:
    """Apply the injections in a forked rank before it starts."""
    path = directory / FILE
    if not path.exists():
        return
    # Real-time priority, if allowed: other processes then do not change the measurement. The ranks sleep nearly all
    # the time.
    wanted = json.loads(path.read_text())
    if wanted.pop("runs_first", True):
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    only = wanted.pop("ranks", {})
    for name, value in wanted.items():
        if rank in only.get(name, [rank]):
            INJECTIONS[name](value)


def _data(seconds: float) -> None:
    """Sleep per sequence in the iterator of micro-batches."""
    from engine.rank.train import trainers

    original = trainers.MicroBatches.load

    def load(self: Any, *args: Any, **kwargs: Any) -> Any:
        for item in original(self, *args, **kwargs):
            time.sleep(seconds * self._size)
            yield item

    trainers.MicroBatches.load = load


def _block(seconds: float) -> None:
    """Sleep per sequence and block, a third in the forward pass and the rest in the backward pass."""
    import torch

    from engine.rank.run import start

    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.sequences = x.shape[0]
            time.sleep(seconds * ctx.sequences / 3)
            return x.view_as(x)

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            time.sleep(seconds * ctx.sequences * 2 / 3)
            return grad

    build = start.build_engine

    def build_slow(*args: Any, **kwargs: Any) -> Any:
        built = build(*args, **kwargs)
        engine = built[0] if isinstance(built, tuple) else built
        blocks = [module for module in engine.module.modules() if type(module).__name__.endswith("Block")]
        assert blocks, "no block to slow down"
        for block in blocks:
            block.register_forward_hook(lambda module, args, out: Slow.apply(out))
        return built

    start.build_engine = build_slow


def _link(bytes_per_s: float) -> None:
    """Sleep in collectives by their bytes, on every rank of the collective."""
    from deepspeed.comm.torch import TorchBackend

    from engine.rank.parallel.collectives import COLLECTIVES

    def slowed(original: Any) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            size = max((_bytes(value) for value in (*args, *kwargs.values())), default=0)
            if size > SMALL_BYTES:
                time.sleep(size / bytes_per_s)
            return original(self, *args, **kwargs)

        return call

    for name in COLLECTIVES:
        if hasattr(TorchBackend, name) and name not in ("send", "recv", "isend", "irecv", "barrier"):
            setattr(TorchBackend, name, slowed(getattr(TorchBackend, name)))


def _bytes(value: Any) -> int:
    if isinstance(value, list | tuple):
        return sum(_bytes(one) for one in value)
    return value.numel() * value.element_size() if hasattr(value, "numel") else 0


def _host(seconds: float) -> None:
    """Sleep per step, between the phases."""
    from engine.rank.run import loop

    original = loop.learning_rate

    def learning_rate(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return original(*args, **kwargs)

    loop.learning_rate = learning_rate


def _validation(seconds: float) -> None:
    """Sleep in each validation."""
    from engine.rank.run.evaluate import Evaluation

    _sleep_before(Evaluation, "_loss_and_accuracy", seconds)


def _snapshot(seconds: float) -> None:
    """Sleep in each copy of the state for a checkpoint."""
    from engine.rank.checkpoint import async_save

    _sleep_before(async_save, "take_snapshot", seconds)


def _record(seconds: float) -> None:
    """Sleep in each write of the recorder, as a slow disk does."""
    from engine.rank.measure.recorder import Recorder

    _sleep_before(Recorder, "_append", seconds)


def _between(seconds: float) -> None:
    """Sleep between two steps, outside all that is known there."""
    from engine.rank.run import loop

    _sleep_before(loop, "_is_due", seconds / 2)  # called twice a step


def _sleep_before(owner: Any, name: str, seconds: float) -> None:
    original = getattr(owner, name)

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return original(*args, **kwargs)

    setattr(owner, name, slow)


def _memory(resident_bytes: int) -> None:
    """Allocate resident memory up to this size and keep it to the end."""
    own = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    ballast = bytearray(max(0, resident_bytes - own))
    ballast[::PAGE] = b"1" * len(ballast[::PAGE])
    HELD.append(ballast)


def _quota(share: float) -> None:
    """Move the rank to a control group that may use this share of a core; the test removes the group."""
    group = QUOTA_GROUPS / f"{QUOTA_PREFIX}{os.getpid()}"
    group.mkdir()
    (group / "cpu.cfs_quota_us").write_text(str(int(100_000 * share)))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _neighbour(num_processes: int) -> None:
    """Bind the rank to one core, and keep that core busy with other processes until the rank ends."""
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    for _ in range(num_processes):
        code = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    sum(range(100_000))"
        subprocess.Popen([sys.executable, "-c", code, str(os.getpid())])


QUOTA_GROUPS = Path("/sys/fs/cgroup/cpu")  # version 1
QUOTA_PREFIX = "injected-quota-"
HELD: list[bytearray] = []
INJECTIONS = {
    "data_s": _data,
    "block_s": _block,
    "link_bytes_per_s": _link,
    "host_s": _host,
    "resident_bytes": _memory,
    "validation_s": _validation,
    "snapshot_s": _snapshot,
    "record_s": _record,
    "between_s": _between,
    "quota_share": _quota,
    "neighbours": _neighbour,
}
