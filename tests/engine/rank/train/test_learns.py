"""Learning in seconds: a classifier of languages beats the most frequent class."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.spec.presets import PRESETS
from engine.telemetry import wire
from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks


def test_languages_are_classified_after_eighty_steps(start: Callable[..., Attempt]) -> None:
    values = PRESETS["classification"][1]
    attempt = start(
        tiny(
            model=values["model"] | {"layers": 1, "width": 64, "ffn_width": 128, "context": 32},
            data=values["data"],
            batch={"global_batch_size": 32, "micro_batch_size": 32},
            optimiser={"learning_rate": 5e-3, "warmup_steps": 10},
            budget={"steps": 80, "validate_every": 0, "checkpoint_every": 0},
        )
    ).succeeded()
    last = attempt.lines("validation")[-1].metrics
    [note] = [line.text for line in attempt.lines("note", "rank0") if line.text.startswith("Baselines")]
    trivial = float(note.rpartition("accuracy_share ")[2].rstrip("."))
    assert wire.number(last["accuracy_share"]) > 2 * trivial
