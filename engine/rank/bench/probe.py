"""python -m engine.rank.bench.probe LOCK_DIR DEVICE KIND THREADS: what a device can really do, measured in about 10 s.

The device is held only for one measurement at a time, each shorter than a supervisor waits for a lock, and let go
in between: an attempt that comes takes it there, and the probe ends with EXIT_YIELDED and reports nothing. Values
are random: on zeros an H200 looked 12 % faster than it is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from engine.hardware.probe_results import EXIT_YIELDED, PROBE_VERSION, MeasuredFigure, ProbeReport, encode
from engine.supervisor.locks import RETRY_S, DeviceHeld, hold_devices, release
from engine.supervisor.spawn import PR_SET_PDEATHSIG

TURN_S = 0.8  # what one measurement may take before it counts what it has
LET_GO_S = 1.5 * RETRY_S  # long enough for a waiting supervisor to try
TRIES = 9
TRY_S = 0.02  # a try repeats what is shorter: on a busy host a short product alone would fit between two interruptions
SIZES = (128, 256, 512, 1024, 2048, 4096, 8192)  # of square products
PRODUCT_S = 0.025  # a product that takes longer is large enough; the next size takes eight times as long
COPY_BYTES = {"cpu": 128 * 1024**2, "cuda": 1024**3}
NUM_PARAMETERS = {"cpu": 4_000_000, "cuda": 100_000_000}
ADAMW_BYTES = 28  # a parameter: reads gradient, parameter, two moments; writes the last three
HOST_COPY_BYTES = 256 * 1024**2
LAUNCHES = 200
TORCH_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class Yielded(Exception):
    """Somebody else holds the device."""


class Probe:
    """One device, measured figure by figure."""

    def __init__(self, lock_dir: Path, device: str, kind: str, threads: int) -> None:
        self._lock_dir, self._id, self.kind, self.threads = lock_dir, device, kind, threads
        self.device = torch.device("cuda", 0) if kind == "cuda" else torch.device("cpu")
        self.figures: dict[str, MeasuredFigure] = {}
        self.missing: dict[str, tuple[str, str]] = {}
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def run(self) -> ProbeReport:
        """Raises Yielded."""
        began = time.perf_counter()
        for dtype in TORCH_DTYPES:
            self._product(dtype)
        self._copy()
        self._optimiser()
        self._host()
        self._launch()
        return ProbeReport(
            PROBE_VERSION, str(torch.__version__), self.kind, self.threads, time.perf_counter() - began,
            self.figures, self.missing, self.curves,
        )  # fmt: skip

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone with the device for one measurement."""
        try:
            held = hold_devices(self._lock_dir, (self._id,), wait_s=0)
        except DeviceHeld as error:
            raise Yielded(str(error)) from None
        try:
            yield
        finally:
            release(held)
        time.sleep(LET_GO_S)

    def _seconds(self, body: Callable[[], object], tries: int = TRIES) -> list[float]:
        """Of the body in each try, after two that warm up; fewer where they do not fit into the turn, one at least."""
        deadline = time.perf_counter() + TURN_S
        found = [self._once(body)]
        if time.perf_counter() + found[0] <= deadline:
            found.append(self._once(body))
        times = max(1, int(TRY_S / found[-1]))
        for _ in range(tries):
            if time.perf_counter() + times * found[-1] > deadline:
                break
            found.append(self._once(body, times))
        return found[2:] or found[-1:]

    def _once(self, body: Callable[[], object], times: int = 1) -> float:
        start = time.perf_counter()
        for _ in range(times):
            body()
        if self.kind == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / times

    def _product(self, dtype: str) -> None:
        name = f"gemm_{dtype}_flops_per_s"
        if self.kind == "cpu" and dtype in ("tf32", "fp16"):
            self.missing[name] = ("unsupported", f"nothing trains in {dtype} on a CPU")
            return
        torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
        curve = self.curves[dtype] = []
        for size in SIZES:
            with self._turn():
                left, right = (self._random(size, size).to(TORCH_DTYPES[dtype]) for _ in range(2))
                seconds = self._seconds(lambda left=left, right=right: left @ right)
            rates = [2 * size**3 / one for one in seconds]
            curve.append((size, statistics.median(rates)))
            self.figures[name] = _figure(rates)
            if statistics.median(seconds) > PRODUCT_S:
                break

    def _copy(self) -> None:
        count = COPY_BYTES[self.kind] // 4
        with self._turn():
            source = self._random(count)
            target = torch.empty_like(source)
            seconds = self._seconds(lambda: target.copy_(source))
        self.figures["copy_bytes_per_s"] = _figure([2 * 4 * count / one for one in seconds])

    def _optimiser(self) -> None:
        count = NUM_PARAMETERS[self.kind]
        with self._turn():
            parameter = torch.nn.Parameter(self._random(count))
            parameter.grad = self._random(count)
            optimiser = torch.optim.AdamW([parameter], fused=True)
            seconds = self._seconds(optimiser.step)
        self.figures["optimiser_bytes_per_s"] = _figure([ADAMW_BYTES * count / one for one in seconds])

    def _host(self) -> None:
        if self.kind == "cpu":
            self.missing["host_copy_bytes_per_s"] = ("unsupported", "a CPU device's memory is the host's")
            return
        with self._turn():
            source = torch.randn(HOST_COPY_BYTES // 4).pin_memory()
            target = torch.empty_like(source, device=self.device)
            seconds = self._seconds(lambda: target.copy_(source, non_blocking=True))
        self.figures["host_copy_bytes_per_s"] = _figure([HOST_COPY_BYTES / one for one in seconds])

    def _launch(self) -> None:
        def launches() -> None:
            for _ in range(LAUNCHES):
                small.add_(1.0)

        with self._turn():
            small = self._random(16)
            seconds = self._seconds(launches)
        self.figures["launch_s"] = _figure([one / LAUNCHES for one in seconds])

    def _random(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=self.device)


def _figure(values: list[float]) -> MeasuredFigure:
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * values
    )
    return MeasuredFigure(middle, low, high, len(values))


def main(arguments: list[str]) -> int:
    if len(arguments) != 4 or not arguments[3].isdigit():
        sys.stderr.write("usage: python -m engine.rank.bench.probe LOCK_DIR DEVICE KIND THREADS\n")
        return 2
    # The agent that wanted it is its parent; a shell's `manage.py probe` waits for it in the same way.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    os.nice(5)  # a page or a sampler that wants a core goes first
    lock_dir, device, kind, threads = arguments
    torch.set_num_threads(int(threads))
    try:
        probed = Probe(Path(lock_dir), device, kind, int(threads)).run()
    except Yielded as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_YIELDED
    sys.stdout.write(encode(probed).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
