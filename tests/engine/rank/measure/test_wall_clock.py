"""Wall clock of real ranks: named parts that add up, with drawn causes injected."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from engine.rank.measure.wall_clock import WallClock
from engine.telemetry.clock import LOOP_PARTS, MEASURED_PARTS
from engine.verdict.judge import judge
from tests.engine.rank import injection
from tests.engine.rank.attempts import Attempt, Forker, tiny, write_attempt
from tests.engine.rank.injected import clock_from, facts_from

pytestmark = pytest.mark.ranks

SEED = 20261130
STEPS = 26
BLOCK_S = 0.002
# Rule -> injection. `every`: field of the budget that says how often the cause occurs.
CAUSES: dict[str, tuple[str, str]] = {
    "validation": ("validation_s", "validate_every"),
    "checkpoints": ("snapshot_s", "checkpoint_every"),
    "recording": ("record_s", ""),
    "between_steps": ("between_s", ""),
}


def draw_case(rule: str, number: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return layout, budget and injections: a cause of 0.6 to 4 times the steps."""
    draw = random.Random(f"{SEED} {rule} {number}")
    ranks, every = draw.choice((1, 2)), draw.choice((1, 2, 4))
    step_s = 2 * 8 * BLOCK_S
    budget: dict[str, Any] = {"steps": STEPS}
    name, field = CAUSES[rule]
    inject = {"block_s": BLOCK_S} | draw.choice(({}, {"data_s": 0.0004}, {"host_s": 0.006}))
    if not field:
        every = 1
    else:
        budget[field] = every
    return {"data": ranks}, budget, inject | {name: draw.uniform(0.6, 4.0) * step_s * every}


@pytest.mark.parametrize("rule", CAUSES)
@pytest.mark.parametrize("number", range(2))
def test_a_drawn_cause_between_the_steps_is_named(
    rule: str, number: int, forker: Forker, rank_data_dir: Path, tmp_path: Path
):
    layout, budget, inject = draw_case(rule, number)
    spec = tiny(
        parallel=layout, budget=budget, batch={"global_batch_size": 8 * layout["data"], "micro_batch_size": 4}
    )
    directory = write_attempt(tmp_path / "attempt", spec, rank_data_dir)
    injection.put(directory.path, **inject)
    attempt = forker.start(directory).succeeded()
    verdict = judge(facts_from(attempt, directory, spec, None))
    assert verdict.rules[0] == rule and verdict.severity == "strong", (verdict.sentence, clock_from(attempt))
    check_clock(attempt)


def check_clock(attempt: Attempt) -> None:
    """The loop's parts are the time from the end of the first step to that of the last, by its own records."""
    clock, steps = clock_from(attempt), attempt.lines("step")
    assert set(clock.seconds) <= set(MEASURED_PARTS)
    by_lines_s = steps[-1].at - steps[0].at
    assert clock.loop_s == pytest.approx(
        by_lines_s, rel=0.02, abs=0.3
    )  # a line is written before its record ends
    assert clock.sum("step") == pytest.approx(sum(list(attempt.series("step_s").values())[1:]), rel=0.03)
    rate = list(attempt.series("clock_tokens_per_s").values())[-1]
    tokens = attempt.series("tokens")
    # Without what follows the last step: one of 25 records
    assert rate == pytest.approx((tokens[STEPS] - tokens[1]) / clock.loop_s, rel=0.06)


def test_the_first_step_has_no_throughput_by_the_clock(forker: Forker, rank_data_dir: Path, tmp_path: Path):
    directory = write_attempt(tmp_path / "attempt", tiny(budget={"steps": 3}), rank_data_dir)
    attempt = forker.start(directory).succeeded()
    assert set(attempt.series("clock_tokens_per_s")) == {2, 3}
    assert all(line.metrics["validation_s"] > 0 for line in attempt.lines("validation"))


def test_a_killed_rank_leaves_its_clock_until_shortly_before(
    forker: Forker, rank_data_dir: Path, tmp_path: Path
):
    directory = write_attempt(tmp_path / "attempt", tiny(budget={"steps": 100_000}), rank_data_dir)
    attempt = forker.start(directory)
    attempt.wait_for_step(150)
    attempt.end()
    line, last = attempt.lines("clock", "rank0")[-1], attempt.lines("step")[-1]
    assert 0 <= last.at - line.at < 1.0 and line.step is not None
    assert clock_from(attempt).sum("step") > 0


def test_each_moment_belongs_to_one_part_and_after_the_last_step_to_closing():
    draw, began = random.Random(SEED), time.perf_counter()
    clock = WallClock(began)
    for _ in range(2000):
        clock.lap(draw.choice(LOOP_PARTS))
    clock.close()
    for _ in range(200):
        clock.lap(draw.choice(LOOP_PARTS))
    at, seconds = clock.take()
    assert sum(seconds.values()) == pytest.approx(clock._lap_s - began, abs=1e-6)
    assert seconds["closing"] > 0 and at == pytest.approx(time.time(), abs=0.5)


def test_a_suspended_machine_is_a_part_of_its_own(monkeypatch: pytest.MonkeyPatch):
    clock = WallClock(time.perf_counter())
    clock.lap("step")
    assert "asleep" not in clock.take()[1]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 30.0)
    assert clock.take()[1]["asleep"] == pytest.approx(30.0, abs=0.5)


def test_a_step_spends_little_on_its_clock():
    """Five laps a step: below 0.5 % of a step of 10 ms."""
    clock, began = WallClock(time.perf_counter()), time.thread_time()
    for _ in range(5000):
        clock.lap("step")
    assert (time.thread_time() - began) / 1000 < 0.005 * 0.010
