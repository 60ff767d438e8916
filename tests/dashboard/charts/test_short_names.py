"""Names of runs reduced to what tells them apart."""

from __future__ import annotations

import random

import pytest

from dashboard.charts.short_names import LONG, shorten_names

WORDS = (
    "gpt2",
    "openwebtext",
    "llama-7b",
    "cosine",
    "baseline",
    "fp8",
    "zero3",
    "v2.1",
    "Ünï",
    "中文",
    "x" * 30,
)


def test_what_all_share_is_left_out():
    names = [
        f"openwebtext-gpt2-medium-cosine-lr{lr}-bs64-seed{seed}" for lr in ("1e-4", "3e-4") for seed in (0, 1)
    ]
    assert shorten_names(names) == ["…lr1e-4-…seed0", "…lr1e-4-…seed1", "…lr3e-4-…seed0", "…lr3e-4-…seed1"]


def test_short_names_stay_and_a_stranger_does_not_spoil_the_others():
    names = ["baseline", "openwebtext-gpt2-medium-cosine-seed0", "openwebtext-gpt2-medium-cosine-seed1"]
    assert shorten_names(names) == ["baseline", "…seed0", "…seed1"]
    assert shorten_names(["a", "b"]) == ["a", "b"]
    assert shorten_names([]) == []


def test_kinds_that_begin_differently_keep_their_beginning():
    names = [f"{kind}-pretraining-on-openwebtext-seed{n}" for kind in ("gpt2", "llama") for n in (0, 1)]
    assert shorten_names(names) == ["gpt2-…seed0", "gpt2-…seed1", "llama-…seed0", "llama-…seed1"]


@pytest.mark.parametrize("seed", range(300))
def test_different_names_stay_different_and_none_grows(seed: int):
    rng = random.Random(seed)
    stem = rng.sample(WORDS, rng.randint(1, 5))
    names = []
    for number in range(rng.randint(1, 30)):
        parts = list(stem)
        for _ in range(rng.randint(0, 2)):
            parts.insert(
                rng.randint(0, len(parts)), rng.choice((f"seed{number}", f"lr{rng.random():.2g}", *WORDS))
            )
        names.append(rng.choice("-_/ ").join(parts))
    short = shorten_names(names)
    assert len(short) == len(names)
    assert len(set(short)) == len(set(names))
    for name, text in zip(names, short, strict=True):
        assert len(text) <= len(name)
        assert text == name or len(name) > LONG
        assert all(part in name for part in text.split("…"))  # nothing is made up
