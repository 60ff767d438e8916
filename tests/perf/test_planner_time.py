"""Predicted step time on this CPU from a probe, and after one calibrating run.

The calibrated predictions are of configurations that the calibration has not seen.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.hardware import probe_results
from engine.planner import PHASES, PROBED_REACH, Calibration, HardwareProfile, PhaseCorrection, plan
from engine.spec.spec import Spec, parse
from tests.engine.rank import attempts
from tests.engine.rank.attempts import ROOT, write_attempt
from tests.perf.measuring_forker import MeasuringForker
from tests.perf.memory_ranks import ATTEMPT_LIMIT_S

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(1200)]

STEPS, WARM_UP = 14, 4
TEACHING_STEPS = 44  # of the calibrating run, whose disturbances all predictions repeat
# Name -> layers, width, context, ranks, ZeRO stage, micro-batch, stages; the first one calibrates.
RUNS: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "calibrating": (4, 192, 128, 1, 1, 4, 1),
    "wider": (4, 320, 128, 1, 1, 4, 1),
    "deeper": (8, 192, 128, 1, 1, 4, 1),
    "longer": (4, 192, 256, 1, 1, 4, 1),
    "larger micro-batch": (4, 192, 128, 1, 1, 16, 1),
    "smaller": (2, 128, 128, 1, 1, 4, 1),
    "ZeRO 0": (4, 192, 128, 1, 0, 4, 1),
    "accumulating": (4, 256, 64, 1, 2, 8, 1),
}


def spec_of(name: str) -> Spec:
    layers, width, context, data, zero, micro, stages = RUNS[name]
    turns = 4 if name == "accumulating" else 1
    steps = TEACHING_STEPS if name == "calibrating" else STEPS
    return parse({
        "model": {"layers": layers, "width": width, "heads": 4, "ffn_width": 4 * width, "context": context},
        "data": {"tokenizer": "bytes"},
        "batch": {"micro_batch_size": micro, "global_batch_size": micro * data * turns},
        "parallel": {"data": data, "zero_stage": zero, "stages": stages}, "precision": {"dtype": "fp32"},
        "optimiser": {"warmup_steps": 1}, "budget": {"steps": steps, "validate_every": 0, "checkpoint_every": 0},
    })  # fmt: skip


def profile_of_this_machine(folder: Path) -> HardwareProfile:
    command = [sys.executable, "-m", "engine.rank.bench.probe", str(folder), "cpu-test", "cpu", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300, check=True)
    found = probe_results.decode(done.stdout.splitlines()[-1])
    values = {name: figure.value for name, figure in found.figures.items()}
    return HardwareProfile(
        "this machine", "cpu", "measured", "a probe", {"fp32": values["gemm_fp32_flops_per_s"]},
        memory_bytes_per_s=values["copy_bytes_per_s"], compute_share=PROBED_REACH, memory_share=PROBED_REACH,
        curves=found.curves, optimiser_bytes_per_s=values["optimiser_bytes_per_s"], operation_s=values["launch_s"],
    )  # fmt: skip


def measured_phases(attempt: Any, ranks: int) -> dict[str, float]:
    """Mean over the ranks of the medians, as on the accuracy page."""
    found = {}
    for phase in PHASES:
        series = [
            list(attempt.series(phase, f"rank{rank}", rank).values())[WARM_UP:] for rank in range(ranks)
        ]
        found[phase] = statistics.mean(statistics.median(one) if one else 0.0 for one in series)
    return found


def test_step_time_after_one_calibrating_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ATTEMPT_LIMIT_S", ATTEMPT_LIMIT_S)
    (tmp_path / "locks").mkdir()
    profile = profile_of_this_machine(tmp_path / "locks")
    forker, learnt, errors, raw_errors = MeasuringForker({"ONLY_TIME": "1"}), None, [], []
    try:
        for number, name in enumerate(RUNS):
            spec = spec_of(name)
            attempt = forker.start(write_attempt(tmp_path / str(number), spec, tmp_path / "data")).succeeded()
            phases = measured_phases(attempt, spec.parallel.world_size)
            whole = statistics.median(list(attempt.series("step_s").values())[WARM_UP:])
            raw = plan(spec, profile).time
            assert raw is not None
            if learnt is None:
                ratios = {
                    p: phases[p] / raw.phases[p].point for p in PHASES if raw.phases[p].point and phases[p]
                }
                rows = (PhaseCorrection("fp32", p, r, 0.8 * r, 1.25 * r, 1) for p, r in ratios.items())
                learnt = Calibration("this machine", tuple(rows))
                print(
                    f"\nload {os.getloadavg()[0]:.1f}; calibrating run: {whole:.3f} s, raw {raw.step_s.point:.3f} s; "
                    f"ratios {ratios}"
                )
                continue
            put_right = plan(spec, profile, learnt).time
            assert put_right is not None
            errors.append(abs(put_right.step_s.point / whole - 1))
            raw_errors.append(abs(raw.step_s.point / whole - 1))
            print(f"  {name:20} measured {whole:.3f} s, raw {raw.step_s.point:.3f}, "
                  f"calibrated {put_right.step_s.point:.3f}: {put_right.step_s.point / whole - 1:+.0%}")  # fmt: skip
    finally:
        forker.close()
    print(
        f"median error {statistics.median(errors):.1%} calibrated, {statistics.median(raw_errors):.1%} raw, "
        f"n = {len(errors)}"
    )
    assert statistics.median(errors) < 0.15
