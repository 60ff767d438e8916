"""Checkpoints: cost against DeepSpeed's own, kills during saves, and resumes between all layouts."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.spec.spec import Spec, parse
from tests.engine.rank.attempts import ROOT, Attempt, Forker, tiny, write_attempt
from tests.engine.rank.checkpoint.test_async_save import kill_at_random_moments
from tests.engine.rank.parallel.test_other_layouts import (
    BUDGET,
    LAYOUTS,
    TOLERANCE,
    largest_difference,
    losses_after_change,
)

pytestmark = [pytest.mark.perf, pytest.mark.timeout(1500)]

MODEL = {"layers": 6, "width": 256, "heads": 4, "ffn_width": 1024, "context": 64}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Attempt]]:
    folder, forker = tmp_path_factory.mktemp("layouts"), Forker()
    yield lambda spec, name, resume_from=None: forker.start(
        write_attempt(folder / name, spec, folder / "data", resume_from)
    )
    forker.close()


def test_training_waits_for_a_copy_but_not_for_the_disk(tmp_path: Path) -> None:
    spec: Spec = parse(
        {
            "name": "saves",
            "model": MODEL,
            "parallel": {"data": 1, "zero_stage": 1},
            "precision": {"dtype": "fp32"},
        }
    )
    directory = write_attempt(tmp_path / "attempt", spec, tmp_path / "data")
    command = [sys.executable, "-m", "tests.perf.checkpoint_child", str(directory.path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stderr.splitlines() if line.startswith("RESULT "))
    found = json.loads(line.removeprefix("RESULT "))
    load = os.getloadavg()[0]
    size = f"{found['parameters'] / 1e6:.1f} M parameters, {found['bytes'] / 1e6:.0f} MB"
    print(
        f"\n{size}; load {load:.1f}; medians of 6 turns:"
        f"\n  DeepSpeed's save_checkpoint, synced   training waits {found['deepspeed'] * 1e3:7.1f} ms"
        f"\n  ours, beside training                 training waits {found['ours_block'] * 1e3:7.1f} ms, "
        f"whole save {found['ours_whole'] * 1e3:.1f} ms"
    )
    assert found["ours_block"] < 0.5 * found["deepspeed"]


def test_killed_twenty_times_the_newest_checkpoint_loads(start: Callable[..., Attempt]) -> None:
    kill_at_random_moments(start, kills=20)
    print(
        "\n20 kills -9 at random moments of saves: each time the newest checkpoint loaded, the curve bit-equal"
    )


def test_every_layout_resumes_from_every_other(start: Callable[..., Attempt]) -> None:
    givers = {
        name: start(tiny(parallel=layout, budget=BUDGET), name).succeeded()
        for name, layout in LAYOUTS.items()
    }
    table = {
        (giving, taking): largest_difference(
            losses_after_change(start, givers[giving], taking), givers[giving].series("loss")
        )
        for giving, taking in itertools.product(LAYOUTS, LAYOUTS)
    }
    width = max(len(name) for name in LAYOUTS)
    print(f"\nlargest relative difference of the loss over 20 steps after the change (limit {TOLERANCE:g})")
    for giving in LAYOUTS:
        cells = "  ".join(f"{table[giving, taking]:.1e}" for taking in LAYOUTS)
        print(f"{giving:>{width}} -> {cells}")
    print(f"{'':>{width}}    columns: {', '.join(LAYOUTS)}")
    assert max(table.values()) < TOLERANCE
    same = [value for (giving, taking), value in table.items() if giving == taking]
    assert max(same) == 0.0, "the same layout goes on bit by bit"
