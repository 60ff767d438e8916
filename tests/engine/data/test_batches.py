"""Order of sequences: a pure function of seed, step and position in any layout."""

from __future__ import annotations

import numpy as np
import pytest

from engine.data.batches import IGNORED, TrainingBatches, ValidationBatches

TOKENS = np.arange(1000, dtype=np.uint16)


def batches(seed: int = 1, global_batch: int = 8) -> TrainingBatches:
    return TrainingBatches(TOKENS, 16, global_batch, seed)


def test_targets_are_the_inputs_shifted_by_one() -> None:
    inputs, targets = batches().rows(0, 0, 8)
    assert inputs.shape == targets.shape == (8, 16)
    assert inputs.dtype == np.int64
    assert (targets == inputs + 1).all()


def test_the_slices_of_all_ranks_form_the_whole_batch_in_any_layout() -> None:
    whole, _ = batches().rows(5, 0, 8)
    for ranks in (1, 2, 4, 8):
        size = 8 // ranks
        parts = [batches().rows(5, rank * size, (rank + 1) * size)[0] for rank in range(ranks)]
        assert (np.concatenate(parts) == whole).all()


def test_the_order_does_not_depend_on_earlier_calls() -> None:
    used = batches()
    for step in (0, 40, 3, 200):
        used.rows(step, 0, 8)
    assert (used.rows(17, 0, 8)[0] == batches().rows(17, 0, 8)[0]).all()


def test_the_order_does_not_depend_on_the_global_batch_size() -> None:
    two_steps = np.concatenate([batches(global_batch=8).rows(step, 0, 8)[0] for step in (0, 1)])
    assert (batches(global_batch=16).rows(0, 0, 16)[0] == two_steps).all()


def test_an_epoch_has_every_sequence_once_and_epochs_differ() -> None:
    per_epoch = (1000 - 16) // 16
    one = TrainingBatches(TOKENS, 16, per_epoch, 1)
    epochs = [one.rows(epoch, 0, per_epoch)[0] for epoch in (0, 1)]
    for epoch in epochs:
        starts = np.sort(epoch[:, 0])
        assert (np.diff(starts) == 16).all(), "sequences neither overlap nor leave gaps"
    assert not (epochs[0] == epochs[1]).all()


def test_another_seed_gives_another_order() -> None:
    assert not (batches(1).rows(0, 0, 8)[0] == batches(2).rows(0, 0, 8)[0]).all()


def test_a_text_of_one_sequence_fills_every_position() -> None:
    inputs, targets = TrainingBatches(TOKENS[:17], 16, 4, 1).rows(9, 0, 4)
    assert (inputs == TOKENS[:16]).all()
    assert (targets == TOKENS[1:17]).all()


def test_validation_is_fixed_and_padded_with_ignored_targets() -> None:
    held_out = ValidationBatches(TOKENS[: 16 * 11 + 1], 16, 8)
    assert held_out.batches == 2
    rows = [held_out.rows(batch, 0, 8) for batch in range(2)]
    targets = np.concatenate([target for _, target in rows])
    assert (targets[11:] == IGNORED).all()
    assert not (targets[:11] == IGNORED).any()
    assert sorted(targets[:11].ravel()) == list(range(1, 16 * 11 + 1))
    real = int((targets != IGNORED).sum())
    assert held_out.correction == pytest.approx(targets.size / real)


def test_a_large_held_out_part_is_sampled_evenly() -> None:
    tokens = np.zeros(2**20, np.uint16)
    held_out = ValidationBatches(tokens, 1024, 32)
    assert held_out.batches * 32 * 1024 == 2**17
    assert held_out._starts[-1] > 0.98 * len(tokens)
