"""Training with every optimiser of the table, with full batches and with single samples."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.directory import checkpoint_name
from engine.model_math.counts import parameters
from engine.rank.train import optimisers as factories
from engine.spec.checks import refuse_impossible
from engine.spec.optimisers import OPTIMISERS, OptimiserRow
from engine.spec.spec import Spec, SpecError, merged, nested, parse
from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

STEPS = 20
SMALL = "small.txt"
DATA = {"corpus": SMALL, "validation_share": 0.1}

ADAFACTOR = {"name": "adafactor", "learning_rate": 0.03}
ROWS = pytest.mark.parametrize("row", OPTIMISERS.values(), ids=OPTIMISERS)
LAYOUTS: dict[str, dict[str, Any]] = {
    "ZeRO 1 on two ranks": {"parallel": {"data": 2, "zero_stage": 1}},
    "ZeRO 3 in bf16": {"parallel": {"data": 2, "zero_stage": 3}, "precision": {"dtype": "bf16"}},
    "two stages": {"parallel": {"stages": 2}},
}
CURVE_TOLERANCES = {"ZeRO 1 on two ranks": 1e-3, "ZeRO 3 in bf16": 0.1, "two stages": 1e-3}


@pytest.fixture(scope="module", autouse=True)
def corpus(rank_data_dir: Path) -> None:
    """Some 250 sequences of 16 bytes to train on, since held-out text comes in units of 4,096 characters."""
    (rank_data_dir / SMALL).write_text("the quick brown fox jumps over the lazy dog, and then again.\n" * 132)


def spec_of(optimiser: dict[str, Any], **parts: dict[str, Any]) -> Spec:
    return tiny(
        optimiser={"warmup_steps": 0, "schedule": "constant"} | optimiser, budget={"steps": STEPS}, **parts
    )


def spec_for(row: OptimiserRow, **parts: dict[str, Any]) -> Spec:
    """A spec that meets the row's needs, but for the given parts."""
    batch = {"global_batch_size": 64, "micro_batch_size": 32}
    base = spec_of({"name": row.name, "learning_rate": 0.03}, batch=batch, data=DATA)
    needed = nested({path: need.allowed[0] for path, need in row.needs.items()})
    return parse(merged(merged(base.model_dump(), needed), parts))


def is_allowed(row: OptimiserRow, layout: str) -> bool:
    try:
        refuse_impossible(spec_for(row, **LAYOUTS[layout]))
    except SpecError:
        return False
    return True


@ROWS
def test_every_row_lowers_the_loss_with_the_state_that_it_declares(
    row: OptimiserRow, start: Callable[..., Attempt]
) -> None:
    spec = spec_for(row)
    attempt = start(spec).succeeded()
    losses, state = attempt.series("loss"), attempt.series("optimiser_state_bytes", "rank0")
    assert losses[STEPS] < losses[1] - 0.5
    assert state[STEPS] / parameters(spec) == pytest.approx(row.state_bytes(spec), rel=0.1, abs=0.5)


@pytest.mark.parametrize(
    ("name", "layout"),
    [(row.name, layout) for row in OPTIMISERS.values() for layout in LAYOUTS if is_allowed(row, layout)],
)
def test_every_row_has_one_curve_in_each_layout_that_its_needs_allow(
    name: str, layout: str, start: Callable[..., Attempt]
) -> None:
    row = OPTIMISERS[name]
    alone = start(spec_for(row), "alone").succeeded().series("loss")
    losses = start(spec_for(row, **LAYOUTS[layout]), "laid-out").succeeded().series("loss")
    assert list(losses.values()) == pytest.approx(list(alone.values()), rel=CURVE_TOLERANCES[layout])


@ROWS
def test_every_row_resumes_exactly_if_its_state_is_saved(
    row: OptimiserRow, start: Callable[..., Attempt]
) -> None:
    spec = spec_for(row, budget={"checkpoint_every": STEPS // 2})
    whole = start(spec, "whole").succeeded()
    checkpoint = whole.directory.checkpoints / checkpoint_name(STEPS // 2)
    resumed = start(spec, "resumed", resume_from=checkpoint).succeeded().series("loss")
    expected = {step: loss for step, loss in whole.series("loss").items() if step > STEPS // 2}
    assert (resumed == expected) is row.is_state_saved


def test_plain_sgd_lowers_the_loss(start: Callable[..., Attempt]) -> None:
    losses = start(spec_of({"name": "sgd", "momentum": 0.0, "learning_rate": 0.3})).succeeded().series("loss")
    assert losses[STEPS] < losses[1] - 0.5


def test_a_row_without_a_factory_is_refused_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIMISERS, "lion", OptimiserRow("lion", "Lion", lambda spec: 4.0))
    with pytest.raises(AssertionError, match=r"only a row or only a factory: \['lion'\]"):
        runpy.run_path(factories.__file__)


def test_a_factory_without_a_row_is_refused_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    # A copy: monkeypatch would restore a deleted row at the end of the table, and other tests read its order.
    rows = {name: row for name, row in OPTIMISERS.items() if name != "sgd"}
    monkeypatch.setattr("engine.spec.optimisers.OPTIMISERS", rows)
    with pytest.raises(AssertionError, match=r"only a row or only a factory: \['sgd'\]"):
        runpy.run_path(factories.__file__)


def test_adafactor_in_a_pipeline_has_the_curve_of_one_rank_and_resumes_exactly(
    start: Callable[..., Attempt],
) -> None:
    staged = spec_of(ADAFACTOR, parallel={"stages": 2})
    staged = staged.model_copy(update={"budget": staged.budget.model_copy(update={"checkpoint_every": 10})})
    alone, whole = (
        start(spec_of(ADAFACTOR), "alone").succeeded(),
        start(staged, "whole").succeeded(),
    )
    assert list(whole.series("loss").values()) == pytest.approx(list(alone.series("loss").values()), rel=1e-5)
    resumed = start(staged, "resumed", resume_from=whole.directory.checkpoints / "step-00000010").succeeded()
    assert resumed.series("loss") == {step: loss for step, loss in whole.series("loss").items() if step > 10}


def full(micro_batch_size: int) -> dict[str, Any]:
    return {"full_batch": True, "micro_batch_size": micro_batch_size}


def l_bfgs(weight_decay: float) -> Spec:
    chosen = {"name": "lbfgs", "learning_rate": 1.0, "gradient_clip": 0.0, "weight_decay": weight_decay}
    return spec_of(chosen, batch=full(64), data=DATA)


def test_l_bfgs_lowers_the_loss_of_a_full_batch_at_every_step(start: Callable[..., Attempt]) -> None:
    attempt = start(l_bfgs(weight_decay=0.0), "free").succeeded()
    losses = list(attempt.series("loss").values())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 2
    assert len(attempt.series("grad_norm")) == STEPS
    assert attempt.series("tokens")[STEPS] > STEPS * 16 * 64, "more than a micro-batch of the spec"
    decayed = list(start(l_bfgs(weight_decay=1.0), "decayed").succeeded().series("loss").values())
    assert decayed[0] == losses[0]
    assert decayed[-1] > losses[-1]


def test_a_full_batch_is_the_same_in_every_layout(start: Callable[..., Attempt]) -> None:
    alone = start(spec_of({}, batch=full(32), data=DATA), "alone").succeeded()
    shared = {"data": 2, "zero_stage": 1}
    expected = pytest.approx(list(alone.series("loss").values()), rel=1e-5)
    two = start(spec_of({}, batch=full(16), data=DATA, parallel=shared), "two").succeeded()
    assert list(two.series("loss").values()) == expected
    odd = start(spec_of({}, batch=full(23), data=DATA, parallel=shared), "odd").succeeded()
    assert list(odd.series("loss").values()) == expected, "the tail is padded"


def test_steps_of_one_sample_see_what_a_step_of_eight_sees(start: Callable[..., Attempt]) -> None:
    still = {"learning_rate": 1e-12, "warmup_steps": 0}
    single = {"global_batch_size": 1, "micro_batch_size": 1}
    ones = start(tiny(optimiser=still, batch=single, budget={"steps": 8}), "ones").succeeded().series("loss")
    eight = start(tiny(optimiser=still, budget={"steps": 1}), "eight").succeeded().series("loss")
    assert len(set(ones.values())) == 8
    assert sum(ones.values()) / 8 == pytest.approx(eight[1], rel=1e-6)
