"""Proposed contexts of short texts: what is proposed is never refused again."""

from __future__ import annotations

import random
from pathlib import Path

from engine.data import objectives, prepare
from engine.spec.spec import SpecError, parse
from engine.verdict.spec_edits import apply_changes

SEED, CASES = 20261201, 60


def test_a_proposed_context_is_never_refused_again(tmp_path: Path):
    """Random short texts, contexts and validation shares; what is proposed passes the check that refused."""
    rng, proposed = random.Random(SEED), 0
    for number in range(CASES):
        root = tmp_path / str(number)
        root.mkdir()
        size = rng.choice([10, 40, 200, 1000, 4000, 20_000])
        (root / "text.txt").write_text("".join(rng.choice("abcdef \n") for _ in range(size)))
        share = rng.choice([0.001, 0.01, 0.1, 0.4])
        spec = parse({
            "model": {"context": rng.choice([8, 64, 256, 1024])},
            "data": {"corpus": "text.txt", "tokenizer": "bytes", "validation_share": share},
        })  # fmt: skip
        prepared = prepare.prepare(spec.data, root, root / "data")
        try:
            objectives.refuse_unfit(spec, prepared)
        except SpecError as error:
            (problem,) = error.problems
            if problem.fix:
                proposed += 1
                objectives.refuse_unfit(apply_changes(spec.model_dump(), problem.fix), prepared)
            else:
                assert size <= 1000 and "Add text" in problem.message
    assert proposed >= CASES // 4
