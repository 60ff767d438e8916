"""Broken steps on real ranks, caused by a few unusual lines in a text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.rank.run.exit_codes import EXIT_DIVERGED
from engine.rank.train.divergence import CONSECUTIVE_LIMIT, MIN_LOSSES, DivergenceGuard
from engine.spec.spec import Spec
from tests.engine.rank.attempts import Attempt, tiny

SPIKES = "spikes.txt"
NAN = float("nan")
Start = Callable[..., Attempt]


@pytest.fixture(scope="module", autouse=True)
def corpus(rank_data_dir: Path) -> None:
    letters, lines = random.Random(5), []
    for number in range(600):
        strange = number % 25 == 24
        lines.append("".join(letters.choices("bcdfghjkmnpqrstvwxz", k=15)) if strange else "a" * 15)
    (rank_data_dir / SPIKES).write_text("\n".join(lines))


def of_policy(policy: str, **parts: dict[str, Any]) -> Spec:
    return tiny(
        guard={"on_broken_step": policy, "spike_factor": 2.0},
        data={"corpus": SPIKES},
        batch={"global_batch_size": 2, "micro_batch_size": 1},
        optimiser={"learning_rate": 1e-2, "schedule": "constant"},
        budget={"steps": 60, "checkpoint_every": 10},
        **parts,
    )


def warnings_of(attempt: Attempt) -> list[str]:
    return [line.text for line in attempt.lines("note", "rank0") if line.level == "warning"]


@pytest.mark.ranks
def test_a_spike_is_skipped_at_the_same_steps_in_every_layout(start: Start) -> None:
    alone = start(of_policy("skip"), "alone").succeeded()
    warnings = warnings_of(alone)
    assert warnings and all(
        "was skipped: the loss" in text and "times its running mean" in text for text in warnings
    )
    assert alone.series("broken_steps")[60] == len(warnings)
    for name, parallel in {"ZeRO 2": {"data": 2, "zero_stage": 2}, "stages": {"stages": 2}}.items():
        other = start(of_policy("skip", parallel=parallel), name).succeeded()
        assert without_losses(warnings_of(other)) == without_losses(warnings)
        assert list(other.series("loss").values()) == pytest.approx(
            list(alone.series("loss").values()), rel=1e-4
        )


def without_losses(texts: list[str]) -> list[str]:
    """The last digit differs where layouts round alike sums apart; the curves are compared by themselves."""
    return [re.sub(r"the loss [\d.]+ is [\d.]+", "the loss is", text) for text in texts]


@pytest.mark.ranks
def test_a_spike_rolls_the_state_back_and_steps_continue(start: Start) -> None:
    attempt = start(of_policy("roll_back", parallel={"data": 2, "zero_stage": 1})).succeeded()
    warnings = warnings_of(attempt)
    assert (
        warnings
        and warnings[0].startswith("Rolled back to the state of step ")
        and "Training continues with the data of step " in warnings[0]
    )
    assert list(attempt.series("loss")) == list(range(1, 61))
    assert attempt.series("broken_steps")[60] == len(warnings)


@pytest.mark.ranks
def test_by_default_a_spike_ends_the_run(start: Start) -> None:
    attempt = start(of_policy("stop"))
    assert attempt.exit_codes == [EXIT_DIVERGED]
    assert "times its running mean at step" in attempt.log()


@pytest.mark.ranks
def test_a_run_that_stays_broken_ends_under_any_policy(start: Start) -> None:
    """Gradients beyond fp32 at every step."""
    mad = {
        "name": "sgd",
        "learning_rate": 10.0,
        "gradient_clip": 0.0,
        "weight_decay": 10.0,
        "warmup_steps": 0,
    }
    spec = tiny(guard={"on_broken_step": "skip"}, optimiser=mad)
    attempt = start(spec)
    assert attempt.exit_codes == [EXIT_DIVERGED]
    assert f"as in {CONSECUTIVE_LIMIT} steps in a row, at step" in attempt.log()


@pytest.mark.ranks
def test_a_run_without_progress_ends_early_and_has_succeeded(start: Start) -> None:
    spec = tiny(
        guard={"patience": 2},
        optimiser={"learning_rate": 1e-7},
        data={"corpus": SPIKES},
        budget={"steps": 50, "validate_every": 2},
        model={"dropout": 0.5},
    )
    spec = spec.model_copy(update={"optimiser": spec.optimiser.model_copy(update={"learning_rate": 1e-12})})
    attempt = start(spec).succeeded()
    [text] = [line.text for line in attempt.lines("result")]
    assert text.startswith("Stopped early after step ")
    assert "in 2 validations in a row" in text
    assert max(attempt.series("loss")) < 50
    newest = attempt.directory.newest_checkpoint()
    assert newest and newest.name == f"step-{max(attempt.series('loss')):08d}"


def judged(factor: float, losses: list[float]) -> list[str]:
    guard = DivergenceGuard(tiny(guard={"spike_factor": factor}))
    found = []
    for loss in losses:
        found.append(guard.detect_divergence(loss))
        guard.record(loss, found[-1])
    return found


def test_a_spike_is_detected_once_there_is_a_running_mean() -> None:
    calm = [2.0] * MIN_LOSSES
    assert judged(2.0, [*calm, 3.9])[-1] == ""
    assert judged(2.0, [*calm, 4.1])[-1] == "The loss 4.1 is 2.05 times its running mean"
    assert judged(2.0, [*calm, 9.0, 9.0])[-1].endswith("4.5 times its running mean"), (
        "a spike is not part of the mean"
    )
    assert judged(2.0, [*calm[1:], 9.0])[-1] == "", "too early to know"
    assert judged(0.0, [*calm, 1e9])[-1] == "", "switched off"
    assert judged(0.0, [NAN])[-1] == "The loss is nan"


def test_non_finite_gradients_break_a_step_with_any_loss() -> None:
    assert (
        DivergenceGuard(tiny()).detect_divergence(1.0, has_broken_gradients=True)
        == "The gradient norm is not finite"
    )


def test_patience_counts_validations_since_the_best() -> None:
    guard = DivergenceGuard(tiny(guard={"patience": 2}, budget={"validate_every": 1}))
    assert [guard.is_out_of_patience(loss) for loss in (3.0, 2.0, 2.5, 1.9, 2.0, 1.9)] == [False] * 5 + [True]
    assert not any(DivergenceGuard(tiny()).is_out_of_patience(loss) for loss in (1.0, 2.0, 3.0))
