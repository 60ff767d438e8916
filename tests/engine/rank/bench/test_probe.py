"""Device probe on this machine's CPU, and its yielding to attempts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.hardware.probe_results import EXIT_YIELDED, PROBE_FIGURES, decode
from engine.supervisor.locks import is_free, lock_devices, release
from tests.engine.rank.attempts import ROOT

pytestmark = pytest.mark.ranks


def probe(locks: Path, limit_s: float = 150) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine.rank.bench.probe", str(locks), "cpu-0", "cpu", "1"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=False, env={**os.environ}
    )


def test_every_figure_is_measured_or_has_a_reason(tmp_path):
    done = probe(tmp_path)
    assert done.returncode == 0, done.stderr
    probed = decode(done.stdout.encode())
    assert {figure.name for figure in PROBE_FIGURES} == probed.figures.keys() | probed.missing.keys()
    assert probed.figures.keys() >= {"gemm_fp32_flops_per_s", "copy_bytes_per_s", "optimiser_bytes_per_s"}
    assert all(0 < figure.low <= figure.value <= figure.high for figure in probed.figures.values())
    assert probed.missing["gemm_fp16_flops_per_s"][0] == "unsupported"
    # Any machine that runs this multiplies 0.1 to 10,000 GFLOP/s on one core and copies 0.05 to 500 GB/s.
    assert 1e8 < probed.figures["gemm_fp32_flops_per_s"].value < 1e13
    assert 5e7 < probed.figures["copy_bytes_per_s"].value < 5e11
    assert [size for size, _ in probed.curves["fp32"]][:2] == [128, 256]
    assert is_free(tmp_path, "cpu-0")


def test_the_probe_yields_if_an_attempt_holds_the_device(tmp_path):
    held = lock_devices(tmp_path, ("cpu-0",), wait_s=0)
    try:
        done = probe(tmp_path)
    finally:
        release(held)
    assert done.returncode == EXIT_YIELDED
    assert done.stdout == ""
    assert "still held" in done.stderr
