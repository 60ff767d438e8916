"""Differences between a saved spec and the spec that resumes it, and the counters of a run."""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.checkpoints.counters import NO_COUNTERS, Counters
from engine.checkpoints.spec_changes import describe_changes, find_changes
from engine.spec.spec import Spec, flatten, parse

CASES = 200
CHOICES: dict[str, tuple[Any, ...]] = {
    "seed": (1, 2, 3), "model.dropout": (0.0, 0.1, 0.5), "batch.global_batch_size": (8, 16, 32),
    "batch.micro_batch_size": (1, 2), "optimiser.learning_rate": (1e-4, 1e-3), "optimiser.gradient_clip": (0.0, 1.0),
    "optimiser.weight_decay": (0.0, 0.1), "optimiser.schedule": ("constant", "cosine"),
    "optimiser.label_smoothing": (0.0, 0.1), "guard.patience": (0, 3), "budget.steps": (50, 100),
    "budget.checkpoint_every": (0, 10), "parallel.data": (1, 2), "name": ("a", "b"), "priority": ("low", "high"),
    "guard.on_broken_step": ("stop", "skip"), "data.validation_share": (0.01, 0.05),
}  # fmt: skip
UNMENTIONED = {"batch.micro_batch_size", "parallel.data", "name", "priority"}


def build_spec(values: dict[str, Any]) -> Spec:
    nested: dict[str, Any] = {}
    for path, value in values.items():
        part, _, leaf = path.rpartition(".")
        (nested.setdefault(part, {}) if part else nested)[leaf] = value
    return parse(nested)


@pytest.mark.parametrize("block", range(4))
def test_every_changed_field_is_listed_with_both_values_and_no_other(block: int) -> None:
    for seed in range(block * CASES // 4, (block + 1) * CASES // 4):
        draw = random.Random(seed)
        before = {path: draw.choice(values) for path, values in CHOICES.items()}
        after = before | {path: draw.choice(CHOICES[path]) for path in draw.sample(sorted(CHOICES), 5)}
        old, new = build_spec(before), build_spec(after)
        changes = find_changes(old.model_dump(), new)
        expected = {path for path in CHOICES if before[path] != after[path]} - UNMENTIONED
        assert {change.field for change in changes} == expected, seed
        text = describe_changes(changes, NO_COUNTERS.after(20, old), new)
        for change in changes:
            assert (change.before, change.now) == (before[change.field], after[change.field])
            assert str(change) in text and " -> " in str(change)
        has_other_batch = "batch.global_batch_size" in expected
        assert ("continue to count from" in text) == has_other_batch, seed


def test_a_saved_spec_that_is_not_valid_any_more_is_compared_field_by_field() -> None:
    saved = parse({"seed": 4}).model_dump() | {"gone": 1}
    (change,) = find_changes(saved, parse({"seed": 5}))
    assert str(change) == "seed 4 -> 5"


def test_samples_that_are_skipped_or_read_again_are_counted() -> None:
    small, large = (parse({"batch": {"global_batch_size": size, "micro_batch_size": 1}}) for size in (8, 32))
    for old, new, word in ((small, large, "skipped"), (large, small, "read again")):
        counters = NO_COUNTERS.after(10, old)
        text = describe_changes(find_changes(old.model_dump(), new), counters, new)
        assert f"so 240 samples are {word}." in text


@pytest.mark.parametrize("seed", range(50))
def test_counters_are_the_sum_of_what_every_attempt_read(seed: int) -> None:
    """The oracle counts step by step; the counters travel through manifests."""
    draw = random.Random(seed)
    counters, tokens, samples, step = NO_COUNTERS, 0, 0, 0
    for _ in range(draw.randrange(1, 6)):
        batch, context = draw.choice([4, 8, 16]), draw.choice([16, 64])
        spec = parse(
            {"batch": {"global_batch_size": batch, "micro_batch_size": 1}, "model": {"context": context}}
        )
        for _ in range(draw.randrange(1, 30)):
            step, tokens, samples = step + 1, tokens + batch * context, samples + batch
        manifest = {"step": step, "spec": spec.model_dump(), "counters": counters.after(step, spec).to_json()}
        found = Counters.from_manifest(manifest)
        assert found == Counters(step, tokens, samples)
        counters = found


def test_a_checkpoint_without_counters_counts_all_steps_with_its_own_batch() -> None:
    spec = parse({"batch": {"global_batch_size": 16, "micro_batch_size": 1}})
    found = Counters.from_manifest({"step": 10, "spec": spec.model_dump()})
    assert found == Counters(10, 160 * spec.model.context, 160)
    assert Counters.from_manifest({"step": 10, "spec": {"layers": "many"}}) is None
    assert len(flatten(spec.model_dump())) > 40
