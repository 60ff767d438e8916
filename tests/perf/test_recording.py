"""Cost of telemetry per training step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.spec.presets import PRESETS
from engine.spec.spec import parse
from tests.engine.rank.attempts import ROOT, write_attempt
from tests.perf.alternation import ENVIRONMENT

pytestmark = [pytest.mark.perf, pytest.mark.timeout(600)]


def test_recording_costs_less_than_a_hundredth_of_a_step(tmp_path: Path) -> None:
    """The demo's model in fp32 on one rank and one thread."""
    changes = {"parallel": {"data": 1, "zero_stage": 1}, "precision": {"dtype": "fp32"}}
    spec = parse({"name": "recording"} | PRESETS["demo"][1] | changes)
    directory = write_attempt(tmp_path / "attempt", spec, tmp_path / "data")
    command = [sys.executable, "-m", "tests.perf.recording_child", str(directory.path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stderr.splitlines() if line.startswith("RESULT "))
    found = json.loads(line.removeprefix("RESULT "))
    step_s, cost_s = found["step_s"], found["telemetry_s"]
    print(f"\ntelemetry {cost_s * 1e6:.0f} us of a step of {step_s * 1e3:.1f} ms: {cost_s / step_s:.3%}")
    assert cost_s / step_s < 0.01
