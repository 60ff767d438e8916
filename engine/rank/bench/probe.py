"""Device probe: measured speeds of a device.

Command: python -m engine.rank.bench.probe LOCK_DIR DEVICE KIND THREADS

A probe takes about 10 s. It locks the device for one measurement at a time, each shorter than the time that a
supervisor waits for a lock. An attempt can take the device between two measurements; the probe then exits with
EXIT_YIELDED and reports nothing. Values are random: with zeros an H200 measured 12 % faster than it is.
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
from engine.supervisor.locks import RETRY_S, DeviceHeld, lock_devices, release
from engine.supervisor.spawn import PR_SET_PDEATHSIG

MEASUREMENT_LIMIT_S = 0.8  # a measurement ends here with the repeats that it has
RELEASE_S = 1.5 * RETRY_S  # long enough for a waiting supervisor to retry the lock
REPEATS = 9
# A repeat runs shorter work several times: on a busy host a single short product would fit between two interruptions.
MIN_REPEAT_S = 0.02
SIZES = (128, 256, 512, 1024, 2048, 4096, 8192)  # of square matrices
LARGE_PRODUCT_S = 0.025  # a longer product is large enough; the next size would take eight times as long
COPY_BYTES = {"cpu": 128 * 1024**2, "cuda": 1024**3}
NUM_PARAMETERS = {"cpu": 4_000_000, "cuda": 100_000_000}
ADAMW_BYTES = 28  # per parameter: reads gradient, parameter and two moments; writes the last three
HOST_COPY_BYTES = 256 * 1024**2
LAUNCHES = 200
TORCH_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class Yielded(Exception):
    """Another process holds the device."""


class Probe:
    """Measures the speeds of one device."""

    def __init__(self, lock_dir: Path, device: str, kind: str, threads: int) -> None:
        self._lock_dir, self._id, self.kind, self.threads = lock_dir, device, kind, threads
        self.device = torch.device("cuda", 0) if kind == "cuda" else torch.device("cpu")
        self.figures: dict[str, MeasuredFigure] = {}
        self.missing: dict[str, tuple[str, str]] = {}
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def run(self) -> ProbeReport:
        """Run all measurements. Raises Yielded."""
        began = time.perf_counter()
        for dtype in TORCH_DTYPES:
            self._measure_gemm(dtype)
        self._measure_copy()
        self._measure_optimiser()
        self._measure_host_copy()
        self._measure_launch()
        return ProbeReport(
            PROBE_VERSION, str(torch.__version__), self.kind, self.threads, time.perf_counter() - began,
            self.figures, self.missing, self.curves,
        )  # fmt: skip

    @contextmanager
    def _hold_device(self) -> Iterator[None]:
        """Lock the device for one measurement, then leave it unlocked for RELEASE_S. Raises Yielded."""
        try:
            held = lock_devices(self._lock_dir, (self._id,), wait_s=0)
        except DeviceHeld as error:
            raise Yielded(str(error)) from None
        try:
            yield
        finally:
            release(held)
        time.sleep(RELEASE_S)

    def _time_repeats(self, body: Callable[[], object], repeats: int = REPEATS) -> list[float]:
        """Return the seconds of `body` in each repeat, after two warm-up runs.

        There are fewer repeats if they exceed the time limit, but at least one.
        """
        deadline = time.perf_counter() + MEASUREMENT_LIMIT_S
        found = [self._time_once(body)]
        if time.perf_counter() + found[0] <= deadline:
            found.append(self._time_once(body))
        times = max(1, int(MIN_REPEAT_S / found[-1]))
        for _ in range(repeats):
            if time.perf_counter() + times * found[-1] > deadline:
                break
            found.append(self._time_once(body, times))
        return found[2:] or found[-1:]

    def _time_once(self, body: Callable[[], object], times: int = 1) -> float:
        start = time.perf_counter()
        for _ in range(times):
            body()
        if self.kind == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / times

    def _measure_gemm(self, dtype: str) -> None:
        name = f"gemm_{dtype}_flops_per_s"
        if self.kind == "cpu" and dtype in ("tf32", "fp16"):
            self.missing[name] = ("unsupported", f"nothing trains in {dtype} on a CPU")
            return
        torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
        curve = self.curves[dtype] = []
        for size in SIZES:
            with self._hold_device():
                left, right = (self._random(size, size).to(TORCH_DTYPES[dtype]) for _ in range(2))
                seconds = self._time_repeats(lambda left=left, right=right: left @ right)
            rates = [2 * size**3 / one for one in seconds]
            curve.append((size, statistics.median(rates)))
            self.figures[name] = _build_figure(rates)
            if statistics.median(seconds) > LARGE_PRODUCT_S:
                break

    def _measure_copy(self) -> None:
        count = COPY_BYTES[self.kind] // 4
        with self._hold_device():
            source = self._random(count)
            target = torch.empty_like(source)
            seconds = self._time_repeats(lambda: target.copy_(source))
        self.figures["copy_bytes_per_s"] = _build_figure([2 * 4 * count / one for one in seconds])

    def _measure_optimiser(self) -> None:
        count = NUM_PARAMETERS[self.kind]
        with self._hold_device():
            parameter = torch.nn.Parameter(self._random(count))
            parameter.grad = self._random(count)
            optimiser = torch.optim.AdamW([parameter], fused=True)
            seconds = self._time_repeats(optimiser.step)
        self.figures["optimiser_bytes_per_s"] = _build_figure([ADAMW_BYTES * count / one for one in seconds])

    def _measure_host_copy(self) -> None:
        if self.kind == "cpu":
            self.missing["host_copy_bytes_per_s"] = ("unsupported", "a CPU device's memory is the host's")
            return
        with self._hold_device():
            source = torch.randn(HOST_COPY_BYTES // 4).pin_memory()
            target = torch.empty_like(source, device=self.device)
            seconds = self._time_repeats(lambda: target.copy_(source, non_blocking=True))
        self.figures["host_copy_bytes_per_s"] = _build_figure([HOST_COPY_BYTES / one for one in seconds])

    def _measure_launch(self) -> None:
        def launch_all() -> None:
            for _ in range(LAUNCHES):
                small.add_(1.0)

        with self._hold_device():
            small = self._random(16)
            seconds = self._time_repeats(launch_all)
        self.figures["launch_s"] = _build_figure([one / LAUNCHES for one in seconds])

    def _random(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=self.device)


def _build_figure(values: list[float]) -> MeasuredFigure:
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * values
    )
    return MeasuredFigure(middle, low, high, len(values))


def main(arguments: list[str]) -> int:
    if len(arguments) != 4 or not arguments[3].isdigit():
        sys.stderr.write("usage: python -m engine.rank.bench.probe LOCK_DIR DEVICE KIND THREADS\n")
        return 2
    # The parent is the agent, or `manage.py probe` in a shell; the probe ends with it.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    os.nice(5)  # web pages and samplers have priority
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
