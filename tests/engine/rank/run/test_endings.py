"""Ends of a run: finished, stopped, out of time, diverged."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.directory import EXIT_STOPPED
from engine.model_math import counts, flops
from engine.rank.parallel.collectives import COLLECTIVES
from engine.rank.run.exit_codes import EXIT_DIVERGED
from engine.rank.run.step_metrics import ALLOCATOR_METRICS
from engine.telemetry.metrics import BY_NAME, STEP_PHASES
from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]
TWO_RANKS = {"data": 2, "zero_stage": 1}


def test_a_finished_run_has_validated_saved_and_reported(start: Start) -> None:
    before = set(os.listdir("/dev/shm"))
    attempt = start(tiny(parallel=TWO_RANKS, budget={"steps": 6, "validate_every": 4})).succeeded()
    assert [line.step for line in attempt.lines("validation")] == [4, 6]
    assert [line.text for line in attempt.lines("checkpoint")] == ["step-00000006"]
    [result] = attempt.lines("result")
    assert (result.step, result.text) == (6, "Finished all 6 steps.")
    assert result.metrics["validation_loss"] == attempt.lines("validation")[-1].metrics["validation_loss"]
    assert set(os.listdir("/dev/shm")) <= before, "ranks left something in /dev/shm"


def test_no_op_is_compiled(start: Start, rank_data_dir: Path) -> None:
    start(tiny(parallel=TWO_RANKS, budget={"steps": 2})).succeeded()
    start(tiny(parallel={"stages": 2, "zero_stage": 1}, budget={"steps": 2}), "pipeline").succeeded()
    assert not [path for path in rank_data_dir.glob("extensions-*/**/*") if path.is_file()]


def test_only_rank_0_records_the_phases_of_the_start(start: Start) -> None:
    attempt = start(tiny(parallel=TWO_RANKS, budget={"steps": 2})).succeeded()
    phases = attempt.lines("phase", "rank0")
    assert [line.text for line in phases] == ["imports", "data", "build", "first_step"]
    assert all(line.seconds is not None and line.seconds >= 0 for line in phases)
    assert attempt.lines("phase", "rank1", rank=1) == []


def test_every_metric_is_in_the_table_with_its_scope(start: Start) -> None:
    attempt = start(tiny(parallel=TWO_RANKS, budget={"steps": 2})).succeeded()
    [run, *_], [rank, *_] = attempt.lines("step"), attempt.lines("step", "rank1", rank=1)
    assert {BY_NAME[name].scope for name in run.metrics} == {"run"}
    assert {BY_NAME[name].scope for name in rank.metrics} == {"rank"}
    assert set(STEP_PHASES) - set(rank.metrics) == {"bubble_s", "host_gap_s"}, "no pipeline, no GPU"
    assert not {"mfu_share", "loss_scale"} & set(run.metrics), "unknown on a CPU in fp32, so missing"
    assert not [name for name in rank.metrics if name.startswith("memory_")]
    assert rank.metrics["rss_bytes"] > 50e6
    assert run.metrics["flops_per_s"] * run.metrics["step_s"] == pytest.approx(flops.model_per_step(tiny()))
    moments = 2 * 4 * counts.parameters(tiny())
    assert rank.metrics["optimiser_state_bytes"] == pytest.approx(moments / 2, rel=0.02), (
        "ZeRO 1 partitions it"
    )
    assert attempt.lines("step", "run", rank=1) == [], "one rank reports the run"


def test_missing_metrics_are_recorded_once_with_their_reason(start: Start) -> None:
    attempt = start(tiny(parallel=TWO_RANKS, budget={"steps": 2})).succeeded()
    first, second = attempt.lines("step")
    assert first.missing["mfu_share"] == ("unsupported", "no peak is known for a CPU, and none is guessed")
    assert set(first.missing) == {"mfu_share"}, "fp32 has no loss scale, so it is not missing"
    assert not second.missing
    [rank, _] = attempt.lines("step", "rank1", rank=1)
    assert set(rank.missing) == {*ALLOCATOR_METRICS, "host_gap_s"}


def test_the_log_has_the_rank_and_the_progress(start: Start) -> None:
    attempt = start(tiny(parallel=TWO_RANKS, budget={"steps": 6, "validate_every": 3})).succeeded()
    log = (attempt.directory.log / "rank0.log").read_text()
    for text in (
        "rank 0 of 2 on cpu #0",
        "step 6/6  loss",
        "validation loss",
        "checkpoint step-00000006 saved",
    ):
        assert text in log


@pytest.mark.parametrize("layout", [TWO_RANKS, {"data": 2, "zero_stage": 3}, {"stages": 2, "zero_stage": 1}])
def test_the_phases_of_a_step_add_up_to_its_time(layout: dict[str, int], start: Start) -> None:
    attempt = start(tiny(parallel=layout, budget={"steps": 5})).succeeded()
    step_s = attempt.series("step_s")
    sums = {
        line.step: sum(line.metrics.get(name, 0.0) for name in STEP_PHASES)  # type: ignore[misc]
        for line in attempt.lines("step", "rank0")
    }
    assert sums == pytest.approx(step_s, rel=1e-6)
    for name in ("data_wait_s", "forward_s", "backward_s", "communication_s", "optimiser_s"):
        assert min(attempt.series(name, "rank0").values()) > 0
    payload = attempt.series("collective_bytes", "rank0")
    kinds = {row.metric: attempt.series(row.metric, "rank0") for row in COLLECTIVES.values() if row}
    assert payload == {step: sum(one.get(step, 0.0) for one in kinds.values()) for step in payload}
    assert ("bubble_s" in attempt.lines("step", "rank0")[-1].metrics) == ("stages" in layout)


def test_zero_3_sends_more_bytes_than_zero_2(start: Start) -> None:
    payload = {
        stage: start(tiny(parallel={"data": 2, "zero_stage": stage}, budget={"steps": 3}), f"zero{stage}")
        .succeeded()
        .series("collective_bytes", "rank0")[3]
        for stage in (2, 3)
    }
    assert payload[3] > 1.1 * payload[2]


def test_a_stop_request_to_one_rank_stops_both_at_the_same_step(start: Start) -> None:
    attempt = start(tiny(parallel=TWO_RANKS, budget={"steps": 100_000}))
    attempt.wait_for_step(2)
    os.kill(attempt.pids[1], 15)
    assert attempt.exit_codes == [EXIT_STOPPED, EXIT_STOPPED]
    last = max(attempt.series("loss"))
    assert max(attempt.series("rss_bytes", "rank1", rank=1)) == last
    [result] = attempt.lines("result")
    assert result.text == f"Stopped on request after step {last} of 100000."
    newest = attempt.directory.newest_checkpoint()
    assert newest and newest.name == f"step-{last:08d}"


@pytest.mark.parametrize("layout", [{}, TWO_RANKS, {"stages": 2, "zero_stage": 1}])
def test_a_diverged_run_ends_with_its_last_step_recorded(layout: dict[str, int], start: Start) -> None:
    spec = tiny(
        parallel=layout,
        # A weight decay of 10 at a learning rate of 10 multiplies every weight by -99 per step until they overflow.
        optimiser={"learning_rate": 10.0, "weight_decay": 10.0, "schedule": "constant", "warmup_steps": 0},
        budget={"steps": 500},
    )
    attempt = start(spec)
    assert set(attempt.exit_codes) == {EXIT_DIVERGED}
    last = max(attempt.series("loss"))
    finite = {
        step: math.isfinite(loss) and math.isfinite(attempt.series("grad_norm")[step])
        for step, loss in attempt.series("loss").items()
    }
    assert finite == {step: step < last for step in range(1, last + 1)}
    assert f"at step {last}: training has diverged" in attempt.log()
    assert attempt.directory.newest_checkpoint() is None, "weights that are not finite must not be saved"
    assert [line.level for line in attempt.lines("note", "rank0")][-1] == "error"
