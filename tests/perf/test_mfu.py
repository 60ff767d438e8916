"""MFU of a 124 M and a 1.3 B decoder in bf16 on one GPU.

    make bench ARGS=tests/perf/test_mfu.py

Not run on a GPU so far, since none was available (2026-11). Without a GPU the files are checked as far as a
CPU allows: they parse, no check refuses them for a GPU, the plan fits an H100, and the path from a file to
its figures works with a tiny model.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from engine.directory import AttemptDirectory
from engine.hardware.peaks import PEAKS
from engine.local import load_spec
from engine.model_math import counts
from engine.planner import plan
from engine.planner.profile import profile_from_peak
from engine.spec import checks
from engine.telemetry import inventory, wire
from tests.running import ROOT

pytestmark = [pytest.mark.perf, pytest.mark.timeout(1800)]

SPECS = Path(__file__).parent / "mfu"
TARGETS = {"124m": 0.45, "1.3b": 0.55}
WARM_UP_STEPS = 10
TINY = {
    "model.layers": 2, "model.width": 64, "model.heads": 2, "model.ffn_width": 128, "model.context": 32,
    "data.corpus": "python-docs", "data.tokenizer": "bytes", "batch.global_batch_size": 4,
    "batch.micro_batch_size": 4, "precision.dtype": "fp32", "budget.steps": 14,
}  # fmt: skip


def trained(name: str, folder: Path, *changes: str) -> dict[str, float]:
    """Medians of a run's metrics, without its first steps."""
    more = [part for change in changes for part in ("--set", change)]
    command = [
        sys.executable,
        "-m",
        "engine",
        "train",
        str(SPECS / f"{name}.yaml"),
        "--dir",
        str(folder),
        *more,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stderr[-3000:]
    spool = AttemptDirectory(folder).spool / "rank0.jsonl"
    lines = [wire.decode(line) for line in spool.read_bytes().splitlines()]
    steps = [one.metrics for one in lines if one.k == "step" and one.source == "run"][WARM_UP_STEPS:]
    names = set.intersection(*(set(step) for step in steps))
    return {name: statistics.median(wire.number(step[name]) for step in steps) for name in names}


def has_gpu() -> bool:
    return any(device.kind == "cuda" for device in inventory.devices())


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", TARGETS)
def test_mfu_on_one_gpu(name: str, tmp_path: Path) -> None:
    found, device = trained(name, tmp_path / "run"), inventory.devices()[0]
    print(f"\n{name} on {device.name}: MFU {found['mfu_share']:.1%} (target {TARGETS[name]:.0%}), "
          f"{found['tokens_per_s']:,.0f} tokens/s, step {found['step_s'] * 1e3:.0f} ms")  # fmt: skip
    assert found["mfu_share"] >= TARGETS[name]


@pytest.mark.parametrize("name", TARGETS)
def test_its_file_is_fit_for_a_gpu(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = load_spec(str(SPECS / f"{name}.yaml"), [])
    checks.refuse_impossible(spec, checks.Hardware("cuda", 1))
    profile = profile_from_peak(next(peak for peak in PEAKS if peak.name == "H100 SXM"))
    planned = plan(spec, profile)
    assert planned.time and planned.time.mfu_share
    with capsys.disabled():
        print(
            f"\n{name}: {counts.parameters(spec) / 1e6:,.0f} M parameters, "
            f"{planned.peak.total_bytes / 1e9:.0f} GB planned on an {profile.name}; "
            f"MFU planned, not measured: {planned.time.mfu_share.point:.0%}"
        )
    assert planned.peak.total_bytes < 0.9 * profile.memory_bytes


def test_a_spec_file_yields_figures_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURWALLS_HOME", str(tmp_path / "home"))
    found = trained("124m", tmp_path / "run", *(f"{field}={value}" for field, value in TINY.items()))
    assert found["tokens_per_s"] > 0 and found["flops_per_s"] > 0
    assert "mfu_share" not in found, "a CPU has no peak in the table, and none is guessed"
