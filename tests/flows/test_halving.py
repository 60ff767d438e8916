"""Successive halving with real ranks: the promoted run's curve equals that of an uninterrupted run."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import TINY, Fourwalls, changes, free_port, wait_until

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(300)]

STEPS = 40
SWEEP = """
spec:
  name: search
  model: {layers: 2, width: 32, heads: 2, ffn_width: 64, context: 32, dropout: 0.1}
  data: {tokenizer: bytes}
  batch: {global_batch_size: 8, micro_batch_size: 4}
  parallel: {data: 1}
  optimiser: {warmup_steps: 2}
  budget: {steps: 40, validate_every: 0, checkpoint_every: 0}
sweep:
  strategy: halving
  vary: {optimiser.learning_rate: [1e-5, 3e-3, 1e-4, 1e-3]}
  count: 4
  first_steps: 10
  eta: 2
  parallel: 2
"""
LOSSES = """
import json
from jobs import series
(line,) = series.read([{run!r}], ["loss"], points=100_000)
print(json.dumps([list(map(int, line.x)), list(line.mean), line.superseded, line.borders]))
"""


@pytest.fixture(scope="module")
def fourwalls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fourwalls]:
    running = Fourwalls(tmp_path_factory.mktemp("halving"), free_port()).start("--no-demo")
    try:
        running.wait_for_link()
        yield running
        running.interrupt()
    finally:
        running.kill()


def state(running: Fourwalls) -> str:
    """State of the only sweep, read from the database: commands would take CPU time from the ranks."""
    with contextlib.closing(
        sqlite3.connect(f"file:{running.home}/fourwalls.sqlite3?mode=ro", uri=True)
    ) as database:
        return database.execute("SELECT state FROM jobs_sweep").fetchone()[0]


def losses(running: Fourwalls, run: str) -> list:
    printed = running.manage("shell", "-v0", "-c", LOSSES.format(run=run)).stdout
    return json.loads(printed.splitlines()[-1])


def test_halving_with_real_ranks(fourwalls: Fourwalls, tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    submitted = json.loads(fourwalls.manage("sweep", "submit", str(path), "--json").stdout.splitlines()[-1])

    wait_until(lambda: state(fourwalls) == "finished", 200, "the end of the sweep")
    end = json.loads(fourwalls.manage("sweep", "show", submitted["id"], "--json").stdout)
    assert [decision["steps"] for decision in end["decisions"]] == [10, 20]
    assert [len(decision["promoted"]) for decision in end["decisions"]] == [2, 1]
    runs = {run["number"]: run for run in end["runs"]}
    (winner,) = end["decisions"][1]["promoted"]
    assert (runs[winner]["state"], runs[winner]["step"]) == ("succeeded", STEPS)
    slowest = min(runs.values(), key=lambda run: run["values"]["optimiser.learning_rate"])
    assert (slowest["state"], slowest["step"]) == ("cancelled", 10), "the lowest rate learns least"
    assert end["reason"].startswith(f"Best: #{winner} with validation loss")

    layout = [
        *TINY,
        "parallel.data=1",
        "model.dropout=0.1",
        "budget.validate_every=0",
        "budget.checkpoint_every=0",
    ]
    rate = runs[winner]["values"]["optimiser.learning_rate"]
    whole = [*layout, f"budget.steps={STEPS}", f"optimiser.learning_rate={rate}"]
    done = fourwalls.manage("submit", "demo", *changes(whole), "--wait", "--json")
    undisturbed = losses(fourwalls, json.loads(done.stdout.splitlines()[0])["run"])
    halted = losses(fourwalls, runs[winner]["run"])
    assert halted[0] == list(range(1, STEPS + 1)) and halted[2] == 0
    assert halted[3] == [11, 21], "each rung began a new attempt"
    assert halted[1] == undisturbed[1], "bit for bit"
