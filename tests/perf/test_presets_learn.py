"""Every preset of an application learns on two CPU cores: it beats trivial baselines on the same data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.spec.presets import PRESETS
from engine.telemetry import wire

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
LOWER = ("validation_loss",)
BUDGET_CPU_S = 600  # ten minutes of one core each, including data preparation and evaluation
# Preset -> the metrics by which it must beat the baselines.
JUDGED = {
    "demo": ("validation_loss", "token_accuracy_share"),
    "pipeline": ("validation_loss", "token_accuracy_share"),
    "code": ("validation_loss", "token_accuracy_share"),
    "masked": ("validation_loss", "token_accuracy_share"),
    "classification": ("validation_loss", "accuracy_share"),
    "translation": ("validation_loss", "bleu", "rouge_l_share"),
    "summaries": ("validation_loss", "token_accuracy_share", "bleu", "rouge_l_share"),
    "questions": ("validation_loss", "bleu", "exact_match_share"),
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def trained(preset: str, folder: Path, data_dir: Path) -> list[wire.SpoolLine]:
    """The baseline line and metrics of rank 0, from the command that a user would run."""
    command = [sys.executable, "-m", "engine", "train", preset, "--dir", str(folder / "run")]
    own = {"FOURWALLS_HOME": str(folder), "FOURWALLS_DATA_DIR": str(data_dir)}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    spool = folder / "run" / "spool" / "rank0.jsonl"
    return [wire.decode(line) for line in spool.read_bytes().splitlines()]


def trivial_of(lines: list[wire.SpoolLine]) -> dict[str, float]:
    [sentence] = [line.text for line in lines if line.k == "note" and line.text.startswith("To beat")]
    pairs = (pair.rsplit(" ", 1) for pair in sentence.partition(": ")[2].rstrip(".").split(", "))
    return {name: float(value) for name, value in pairs}


def test_every_application_is_evaluated() -> None:
    small = {name for name, (_, values) in PRESETS.items() if values["model"]["width"] <= 128}
    assert small == JUDGED.keys()


@pytest.mark.parametrize("preset", JUDGED)
def test_a_preset_beats_its_baselines(preset: str, tmp_path: Path, data_dir: Path) -> None:
    began, cpu = time.monotonic(), children_cpu_s()
    lines = trained(preset, tmp_path, data_dir)
    last: dict[str, Any] = [line.metrics for line in lines if line.k == "validation"][-1]
    trivial = trivial_of(lines)
    took_s, cpu_s = time.monotonic() - began, children_cpu_s() - cpu
    print(f"\n{preset}: {took_s:.0f} s, {cpu_s:.0f} CPU s of {BUDGET_CPU_S}, load {os.getloadavg()[0]:.0f}")
    for name, baseline in trivial.items():
        print(f"  {name:<22} {last[name]:9.4g}   trivial {baseline:9.4g}")
    print(f"  {json.dumps(PRESETS[preset][1].get('data', {}))}")
    for name in JUDGED[preset]:
        better = last[name] < trivial[name] if name in LOWER else last[name] > trivial[name]
        assert better, f"{name} {last[name]:.4g} does not beat {trivial[name]:.4g}"
    assert cpu_s < BUDGET_CPU_S


def children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system
