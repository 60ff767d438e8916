"""Training of adapters beside frozen weights: layouts, checkpoints, merging."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoints.initial_weights import open_initial_weights
from engine.checkpoints.soundness import open_checkpoint
from engine.directory import checkpoint_name
from engine.model_math import counts
from engine.spec.adapters import adapted_matrices
from engine.spec.checks import refuse_impossible
from engine.spec.spec import Spec, SpecError
from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]
SEED, CASES, STEPS = 20261201, 6, 12
LAYOUTS: list[dict[str, Any]] = [
    {"data": 2, "zero_stage": 0}, {"data": 2, "zero_stage": 1}, {"data": 2, "zero_stage": 2},
    {"data": 2, "zero_stage": 3}, {"tensor": 2}, {"stages": 2}, {"stages": 2, "tensor": 2, "zero_stage": 1},
    {"data": 2, "tensor": 2, "zero_stage": 2}, {"data": 2, "stages": 2, "zero_stage": 1},
    {"data": 2, "zero_stage": 3, "activation_checkpointing": "full"},
    {"tensor": 2, "activation_checkpointing": "selective"},
]  # fmt: skip
TARGETS = [
    "*attention.*, feed_forward.*", "attention.query, attention.value", "*", "attention.query_key_value",
    "feed_forward.*, head", "1.*, 2.*, 3.attention.output, 5.*", "attention.output, feed_forward.down",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    model: dict[str, Any]
    data: dict[str, Any]
    adapter: dict[str, Any]
    layouts: list[dict[str, Any]]

    def spec(self, layout: dict[str, Any] | None = None, **parts: dict[str, Any]) -> Spec:
        fields = {"model": self.model, "data": self.data, "adapter": self.adapter, "parallel": layout or {}}
        budget = {"steps": STEPS, "validate_every": STEPS}
        spec = tiny(**(fields | {"budget": budget} | parts))
        return spec.model_copy(update={"start_from": "given"})

    def base(self) -> Spec:
        return tiny(model=self.model, data=self.data, budget={"steps": 4})


def draw(rng: random.Random) -> Case:
    family = rng.choice(("decoder", "decoder", "encoder", "encoder-decoder"))
    objective = {"decoder": "next_token", "encoder": "masked", "encoder-decoder": "pairs"}[family]
    model = {
        "family": family, "layers": rng.choice((2, 4)), "heads": 4, "kv_heads": rng.choice((None, 2)),
        "norm": rng.choice(("layernorm", "rmsnorm")), "feed_forward": rng.choice(("gelu", "swiglu")),
        "positions": rng.choice(("learned", "rotary")), "biases": rng.random() < 0.5,
        "tied_embeddings": rng.random() < 0.4,
    }  # fmt: skip
    if family == "encoder-decoder":  # pairs come from a file of pairs; a decoder with the same blocks serves
        model["family"], objective = "decoder", "next_token"
    adapter = {
        "rank": rng.choice((1, 3, 8)),
        "alpha": rng.choice((1.0, 8.0, 32.0)),
        "targets": rng.choice(TARGETS),
    }
    return Case(model, {"objective": objective}, adapter, rng.sample(LAYOUTS, 4))


def draw_allowed(index: int) -> Case:
    rng = random.Random(SEED + index)
    while True:
        case = draw(rng)
        try:
            for layout in case.layouts:
                refuse_impossible(case.spec(layout))
        except SpecError:
            continue
        return case


def newest(attempt: Attempt) -> Path:
    found = attempt.succeeded().directory.newest_checkpoint()
    assert found
    return found


@pytest.mark.parametrize("index", range(CASES))
def test_adapters_train_alike_in_every_layout_and_merge_exactly(
    index: int, start: Start, tmp_path: Path
) -> None:
    case = draw_allowed(index)
    base = newest(start(case.base(), "base"))
    alone = start(case.spec(), "alone", start_from=base).succeeded()
    expected = alone.series("loss")
    held_out = alone.lines("validation")[-1].metrics["validation_loss"]
    for number, layout in enumerate(case.layouts):
        attempt = start(case.spec(layout), f"layout{number}", start_from=base).succeeded()
        assert list(attempt.series("loss").values()) == pytest.approx(list(expected.values()), rel=1e-5), (
            layout
        )
        assert list(attempt.series("grad_norm").values()) == pytest.approx(
            list(alone.series("grad_norm").values()), rel=1e-4
        ), layout
        assert attempt.lines("validation")[-1].metrics["validation_loss"] == pytest.approx(held_out, rel=1e-5)
    trained = open_checkpoint(newest(attempt))
    for name in trained.shards.parameters:
        assert abs(trained.shards.whole("weight", name)).max() > 1e-3, f"{name} is trained"
    adapters = sum(len(matrix.parts) for matrix in adapted_matrices(case.spec()))
    assert len(trained.shards.parameters) == 2 * adapters, "a checkpoint holds adapters alone"
    merged = case.spec(adapter={}, optimiser={"learning_rate": 1e-12, "warmup_steps": 0}, budget={"steps": 1})
    after = start(merged, "merged", start_from=trained.path).succeeded()
    assert after.lines("validation")[-1].metrics["validation_loss"] == pytest.approx(held_out, rel=1e-5)


def test_a_resumed_run_continues_exactly_in_another_layout(start: Start) -> None:
    case = Case({"tied_embeddings": True}, {}, {"rank": 4, "dropout": 0.0}, [])
    base = newest(start(case.base(), "base"))
    budget = {"steps": STEPS, "checkpoint_every": STEPS // 2}
    whole = start(case.spec(budget=budget), "whole", start_from=base).succeeded()
    middle = whole.directory.checkpoints / checkpoint_name(STEPS // 2)
    for name, layout in {"same": {}, "ZeRO 3": {"data": 2, "zero_stage": 3}, "stages": {"stages": 2}}.items():
        resumed = start(case.spec(layout, budget=budget), name, resume_from=middle).succeeded().series("loss")
        kept = {step: loss for step, loss in whole.series("loss").items() if step > STEPS // 2}
        tolerance = 0 if name == "same" else 1e-5
        assert list(resumed.values()) == pytest.approx(list(kept.values()), rel=tolerance, abs=0)


def test_dropout_of_adapters_is_the_same_on_tensor_ranks(start: Start) -> None:
    case = Case({}, {}, {"rank": 4, "dropout": 0.3}, [])
    base = newest(start(case.base(), "base"))
    alone = start(case.spec(), "alone", start_from=base).succeeded().series("loss")
    split = start(case.spec({"tensor": 2}), "split", start_from=base).succeeded().series("loss")
    assert list(split.values()) == pytest.approx(list(alone.values()), rel=1e-5)


def test_changed_base_and_other_adapters_are_refused(start: Start) -> None:
    case = Case({}, {}, {"rank": 4}, [])
    base = newest(start(case.base(), "base"))
    trained = newest(start(case.spec(), "trained", start_from=base))
    other = newest(start(case.base().model_copy(update={"seed": 2}), "other"))
    refused = start(case.spec(budget={"steps": 20}), "changed", resume_from=trained, start_from=other)
    assert 0 not in refused.exit_codes
    assert "have changed since the adapters" in refused.log()
    smaller = start(case.spec(adapter={"rank": 2}), "smaller", resume_from=trained, start_from=base)
    assert 0 not in smaller.exit_codes
    assert "adapter.rank 4 instead of 2" in smaller.log()


def test_a_run_goes_on_with_the_adapters_of_another(start: Start) -> None:
    case = Case({}, {}, {"rank": 4}, [])
    base = newest(start(case.base(), "base"))
    first = start(case.spec(), "first", start_from=base)
    saved = newest(first)
    again = start(case.spec(), "again", start_from=saved).succeeded()
    notes = " ".join(str(line.text) for line in again.lines("note", "rank0"))
    assert "its adapters are trained on" in notes
    reference = open_checkpoint(newest(again)).manifest["base"]
    assert reference["path"] == str(base), "the frozen weights are the same, nothing is merged"
    assert again.series("loss")[1] < first.series("loss")[1]
    new = start(case.spec(adapter={"rank": 2}), "new", start_from=saved).succeeded()
    assert open_checkpoint(newest(new)).manifest["base"]["path"] == str(saved)
    assert new.series("loss")[1] == pytest.approx(again.series("loss")[1], rel=1e-5)


def test_merged_weights_are_the_base_and_the_changes(start: Start) -> None:
    case = Case({"kv_heads": 1}, {}, {"rank": 2, "targets": "attention.value, feed_forward.up"}, [])
    base = newest(start(case.base(), "base"))
    saved = newest(start(case.spec(), "trained", start_from=base))
    before, after = open_initial_weights(base, "base"), open_initial_weights(saved, "trained")
    shards = open_checkpoint(saved).shards
    for layer in (1, 2):
        stem = f"{layer}.attention.query_key_value"
        a, b = (shards.whole("weight", f"{stem}.adapter.value.lora_{letter}") for letter in "AB")
        change = after.whole(f"{stem}.weight") - before.whole(f"{stem}.weight")
        assert abs(change[:48]).max() == 0, "query and key do not change"
        assert change[48:] == pytest.approx(8.0 * b @ a, abs=1e-6)
    assert counts.parameters(case.spec()) == counts.parameters(case.base())
