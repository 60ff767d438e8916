"""What the engine costs against a plain PyTorch loop, and what recording costs a step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from engine.presets import PRESETS
from engine.spec import parse
from tests.engine.rank.attempts import ROOT, write_attempt

pytestmark = [pytest.mark.perf, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The demo's model in fp32 on one rank and one thread, all variants taking turns step by step."""
    folder = tmp_path_factory.mktemp("throughput")
    changes = {"parallel": {"data": 1, "zero_stage": 1}, "precision": {"dtype": "fp32"}}
    spec = parse({"name": "throughput"} | PRESETS["demo"][1] | changes)
    directory = write_attempt(folder / "attempt", spec, folder / "data")
    command = [sys.executable, "-m", "tests.perf.throughput_child", str(directory.path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stderr.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def test_throughput_against_a_plain_loop(figures: dict[str, Any]) -> None:
    tokens, medians = figures["tokens_per_step"], figures["median_s"]
    ours, plain = (tokens / medians[name] for name in ("ours", "plain"))
    ratio = figures["plain_over_ours"]
    print(
        f"\nengine {ours:,.0f} tokens/s, plain PyTorch loop {plain:,.0f}; ratio, median of pairs: {ratio:.3f}"
    )
    assert ratio > 0.7


def test_recording_costs_less_than_a_hundredth_of_a_step(figures: dict[str, Any]) -> None:
    step_s, cost_s = figures["median_s"]["ours"], figures["telemetry_s"]
    print(f"\ntelemetry {cost_s * 1e6:.0f} us of a step of {step_s * 1e3:.1f} ms: {cost_s / step_s:.3%}")
    print(f"the same by turns with it off, noise included: {1 - figures['silent_over_ours']:+.2%}")
    assert cost_s / step_s < 0.01
