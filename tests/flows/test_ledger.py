"""Ledgers of drawn runs of a real Fourwalls: their parts are the wall clock.

Runs are validated, checkpointed, paused, killed, preempted, cancelled and resumed. FOURWALLS_LEDGER_RUNS sets their
number: 20 took six minutes on two busy cores.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from engine.directory import AttemptDirectory
from tests.running import TINY, Fourwalls, changes, free_port, wait_until

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(900)]

SEED = int(os.environ.get("FOURWALLS_LEDGER_SEED", "20261130"))
NUM_RUNS = int(os.environ.get("FOURWALLS_LEDGER_RUNS", "4"))
# In this order, so that few runs have the interesting ones too.
INTERRUPTIONS = (
    "rank killed",
    "paused",
    "preempted",
    "none",
    "supervisor killed",
    "cancelled",
    "retried twice",
)
WITHIN = 0.01
OUTSIDE_S = 6.0  # of an attempt before and after its rank, on a busy machine
OVER = ("succeeded", "failed", "cancelled")


@pytest.fixture(scope="module")
def fourwalls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fourwalls]:
    environment = {"FOURWALLS_PREEMPT_AFTER_S": "0"}
    running = Fourwalls(tmp_path_factory.mktemp("ledger"), free_port(), environment).start("--no-demo")
    try:
        running.wait_for_link()
        running.request("/jobs")
        yield running
        running.interrupt()
    finally:
        running.kill()


def draw_run(number: int) -> tuple[str, list[str]]:
    """Return the interruption of run `number`, and its changes to the tiny spec."""
    draw = random.Random(f"{SEED} {number}")
    ranks = draw.choice((1, 1, 2))
    return INTERRUPTIONS[number % len(INTERRUPTIONS)], [
        f"parallel.data={ranks}", f"batch.global_batch_size={8 * ranks}", f"budget.steps={draw.randint(150, 400)}",
        "data.validation_share=0.002", f"budget.validate_every={draw.choice((0, 1, 7, 40))}",
        f"budget.checkpoint_every={draw.choice((1, 10, 45)) if number % 3 else draw.choice((0, 30))}",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(NUM_RUNS))
def test_the_parts_of_a_drawn_run_are_its_wall_clock(fourwalls: Fourwalls, number: int):
    interruption, more = draw_run(number)
    command = ["submit", "demo", *changes([*TINY, *more]), "--json"]
    submitted = json.loads(fourwalls.manage(*command).stdout.splitlines()[0])
    job, run = submitted["job"], submitted["run"]
    wait_until(lambda: read(fourwalls, job)["step"] > 12, 120, "12 steps")
    interrupt(fourwalls, job, interruption)
    ended = wait_until(lambda: (now := read(fourwalls, job))["state"] in OVER and now, 240, "the end")
    expected = {"cancelled": "cancelled"}.get(interruption, "succeeded")
    assert ended["state"] == expected, ended["reason"]
    ledger = fourwalls.request(f"/runs/{run}/ledger")
    sys.stdout.write(f"\n{number} {interruption} {' '.join(more)}: {describe(ledger)}\n")
    for attempt in ledger["attempts"]:
        parts_s = sum(value for name, value in attempt["seconds"].items() if name != "unexplained")
        assert attempt["seconds"]["launch"] + attempt["seconds"]["ending"] < OUTSIDE_S, attempt
        assert parts_s == pytest.approx(attempt["held_s"], rel=WITHIN), attempt
    span_s = (as_time(ended["ended_at"]) - as_time(ended["submitted_at"])).total_seconds()
    assert ledger["held_s"] + sum(ledger["waited_s"].values()) == pytest.approx(span_s, rel=WITHIN)
    check_steps(fourwalls, run, ledger, interruption)


def check_steps(fourwalls: Fourwalls, run: str, ledger: dict[str, Any], interruption: str) -> None:
    """Compare the parts with the series that the ranks recorded beside them."""
    validated, saved = (get_total(fourwalls, run, name) for name in ("validation_s", "checkpoint_block_s"))
    seconds = ledger["seconds"]
    waits_s = sum(seconds.get(name, 0.0) for name in ("validation", "outputs", "checkpoint", "closing"))
    assert waits_s >= 0.9 * (validated + saved) - 0.05
    if interruption == "none":
        within_s = seconds["step"] + seconds["first_step"]
        assert within_s == pytest.approx(get_total(fourwalls, run, "step_s"), rel=0.03)
        assert ledger["lost_steps"] == 0 and "lost_steps" not in seconds
    assert 0 < ledger["goodput_share"] < 1
    assert 0 < ledger["clock_tokens_per_s"] < ledger["step_tokens_per_s"]


def interrupt(fourwalls: Fourwalls, job: str, kind: str) -> None:
    if kind in ("rank killed", "retried twice"):
        for _ in range(2 if kind == "retried twice" else 1):
            kill(fourwalls, job, "rank")
            wait_until(lambda: read(fourwalls, job)["state"] == "failed", 60, "a failure")
            before = read(fourwalls, job)["attempt"]
            fourwalls.request(f"/jobs/{job}/retry", {})
            wait_until(partial(is_training, fourwalls, job, before), 120, "a retry")
    elif kind == "supervisor killed":
        kill(fourwalls, job, "supervisor")
    elif kind == "paused":
        fourwalls.request(f"/jobs/{job}/pause", {})
        wait_until(lambda: read(fourwalls, job)["state"] in ("paused", *OVER), 60, "a pause")
        if read(fourwalls, job)["state"] == "paused":
            fourwalls.request(f"/jobs/{job}/resume", {})
    elif kind == "preempted":
        urgent = [*TINY, "priority=high", "parallel.data=2", "batch.global_batch_size=16"]
        fourwalls.manage("submit", "demo", *changes(urgent), "--json")
    elif kind == "cancelled":
        fourwalls.request(f"/jobs/{job}/cancel", {})


def is_training(fourwalls: Fourwalls, job: str, before: int) -> bool:
    now = read(fourwalls, job)
    is_later = now["attempt"] > before and now["state"] == "running"
    directory = AttemptDirectory(fourwalls.home / "node" / "attempts" / f"{job}-{now['attempt']}")
    spool = directory.spool / "rank0.jsonl"
    return bool(
        now["state"] == "succeeded" or (is_later and spool.exists() and b'"k":"step"' in spool.read_bytes())
    )


def kill(fourwalls: Fourwalls, job: str, what: str) -> None:
    number = read(fourwalls, job)["attempt"]
    state = AttemptDirectory(fourwalls.home / "node" / "attempts" / f"{job}-{number}").read_state()
    assert state is not None
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.pid if what == "supervisor" else state.ranks[-1].pid, signal.SIGKILL)


def read(fourwalls: Fourwalls, job: str) -> dict[str, Any]:
    found: dict[str, Any] = fourwalls.request(f"/jobs/{job}")
    return found


def get_total(fourwalls: Fourwalls, run: str, metric: str) -> float:
    code = (
        "from jobs import series; import numpy as np\n"
        f"found = series.read([{run!r}], [{metric!r}], points=100_000, sources=['run'])\n"
        "print(sum(float(np.nansum(one.mean)) for one in found))"
    )
    return float(fourwalls.manage("shell", "-v0", "-c", code).stdout.split()[-1])


def as_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def describe(ledger: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in ledger["seconds"].items())
    unexplained = ledger["seconds"].get("unexplained", 0.0) / ledger["held_s"]
    load = os.getloadavg()[0]
    return (
        f"held {ledger['held_s']:.2f} s in {len(ledger['attempts'])} attempts ({parts}); "
        f"unexplained {unexplained:.2%}, "
        f"goodput {ledger['goodput_share']:.0%}, {ledger['step_tokens_per_s']:.0f} tokens/s within steps, "
        f"{ledger['clock_tokens_per_s']:.0f} by the clock, {ledger['lost_steps']} lost steps; load {load:.1f}"
    )
