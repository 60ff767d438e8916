"""Full batches: 60 random layouts, in which every sequence counts exactly once."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data import full_batch
from engine.data.special_tokens import IGNORED
from engine.spec.spec import Spec
from tests.engine.data.test_objectives import EVERY, arrays, ready, root  # noqa: F401

SEED, LAYOUTS = 8, 12  # of each objective


def random_layouts(spec: Spec, count: int) -> list[Spec]:
    pick, found = random.Random(SEED), []
    for _ in range(count):
        parts = {
            "batch": spec.batch.model_copy(update={"micro_batch_size": pick.randint(1, 40), "full_batch": True}),
            "parallel": spec.parallel.model_copy(update={"data": pick.choice((1, 2, 3, 4, 8))}),
        }  # fmt: skip
        found.append(spec.model_copy(update=parts))
    return found


def all_rows(spec: Spec, source: Any, step: int) -> tuple[list[tuple[bytes, ...]], float]:
    """The sequences with a target that all ranks read in a step, and the loss if each target costs its number."""
    rows, total = [], 0.0
    per_rank = spec.accumulation * spec.batch.micro_batch_size
    for rank in range(spec.parallel.data):
        share = 0.0
        for micro in range(spec.accumulation):
            start = rank * per_rank + micro * spec.batch.micro_batch_size
            batch = source.rows(step, start, start + spec.batch.micro_batch_size)
            targets = batch[1]
            real = (targets != IGNORED).reshape(len(targets), -1).any(axis=1)
            for one in np.flatnonzero(real):
                rows.append(tuple(array[one].tobytes() for array in arrays(batch)))
            # As engine.rank.model.loss: the sum over real targets over all slots, times the correction
            share += float(targets[targets != IGNORED].sum()) / targets.size * source.correction(step)
        total += share / (spec.accumulation * spec.parallel.data)
    return rows, total


@pytest.mark.parametrize(("objective", "family"), EVERY)
def test_every_sequence_counts_once_in_every_layout(root: Path, objective: str, family: str) -> None:  # noqa: F811
    base, prepared = ready(root, objective, family)
    count = full_batch.count_sequences(base, prepared)
    expected = None
    for layout in random_layouts(base, LAYOUTS):
        spec = full_batch.use_full_batch(layout, prepared)
        assert 0 <= spec.batch.global_batch_size - count < spec.batch.micro_batch_size * spec.parallel.data
        rows, loss = all_rows(spec, full_batch.build_full_batch(spec, prepared), step=3)
        assert len(rows) == count
        found = (Counter(rows), pytest.approx(loss))
        expected = expected or found
        assert found == expected, f"micro {spec.batch.micro_batch_size} x data {spec.parallel.data}"
