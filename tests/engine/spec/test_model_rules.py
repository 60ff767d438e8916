"""Rules for combinations of model fields: each refusal has a fix, and the fixes lead to a model that runs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.spec.checks import refuse_impossible
from engine.spec.spec import Spec, SpecError, flatten, nested, parse

ROUNDS = 4
CHOICES: dict[str, tuple[Any, ...]] = {
    "model.family": ("decoder", "encoder", "encoder-decoder"),
    "model.head_dim": (None, 1, 3, 7, 32),
    "model.positions": ("learned", "rotary", "relative", "sinusoidal"),
    "model.rotary_share": (0.01, 0.1, 0.3, 0.5, 1.0),
    "model.rope_scaling": ("none", "linear", "dynamic", "llama3", "yarn"),
    "model.rope_base": (1.0, 10_000.0),
    "model.rope_low_factor": (1.0, 8.0, 1024.0),
    "model.rope_high_factor": (0.5, 4.0),
    "model.rope_beta_fast": (1.0, 32.0),
    "model.rope_beta_slow": (1.0, 4096.0),
    "model.relative_buckets": (2, 5, 32, 1024),
    "model.relative_distance": (2, 16, 128),
    "model.window": (None, 3),
    "model.parallel_residual": (True, False),
    "model.norm_position": ("pre", "post", "sandwich", "output"),
    "model.attention_softcap": (0.0, 30.0),
    "model.heads": (3, 4),
}
OBJECTIVES = {"decoder": "next_token", "encoder": "masked", "encoder-decoder": "pairs"}


def draw_spec(seed: int) -> Spec:
    rng = random.Random(seed)
    values = {path: rng.choice(choices) for path, choices in CHOICES.items()}
    values["data.objective"] = OBJECTIVES[values["model.family"]]
    return parse(nested(values))


@pytest.mark.parametrize("seed", range(200))
def test_the_fixes_of_a_refused_model_give_one_that_is_allowed(seed: int) -> None:
    spec = draw_spec(seed)
    for _ in range(ROUNDS):
        try:
            refuse_impossible(spec)
        except SpecError as error:
            values = flatten(spec.model_dump())
            for problem in error.problems:
                assert problem.field in values and problem.fix, problem
                values |= problem.fix
            spec = parse(nested(values))
        else:
            return
    refuse_impossible(spec)


def test_most_draws_are_refused_and_every_rule_is_met() -> None:
    fields: set[str] = set()
    refused = 0
    for seed in range(200):
        try:
            refuse_impossible(draw_spec(seed))
        except SpecError as error:
            refused += 1
            fields |= {problem.field for problem in error.problems}
    assert refused > 50
    assert fields >= {
        "model.positions", "model.rotary_share", "model.rope_scaling", "model.rope_high_factor",
        "model.rope_beta_fast", "model.relative_buckets", "model.relative_distance", "model.window",
        "model.parallel_residual", "model.attention_softcap", "model.heads",
    }  # fmt: skip


@pytest.mark.parametrize("pattern", ["", "X", "sf", "SFX"])
def test_a_pattern_of_windows_has_the_letters_s_and_f_only(pattern: str) -> None:
    with pytest.raises(SpecError, match="window_layers"):
        parse({"model": {"window_layers": pattern}})
