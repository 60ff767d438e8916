"""Every proposed fix is accepted by the rules: 1,500 random specs, and 60 tiny corpora."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from engine.data import objectives, prepare
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.fixes import apply_fix, is_accepted, with_accepted_fixes
from engine.spec.spec import Problem, Spec, SpecError, parse

SEED = 21


def random_spec(pick: random.Random) -> Spec | None:
    values: dict[str, Any] = {
        "model": {
            "layers": pick.choice((1, 2, 3, 5, 8)), "width": pick.choice((16, 32, 48, 96, 128)),
            "heads": pick.choice((1, 2, 4, 8)),
            "ffn_width": pick.choice((10, 64, 100)), "context": pick.choice((8, 21, 128)),
            "family": pick.choice(("decoder", "encoder", "encoder-decoder")),
        },
        "batch": {"micro_batch_size": pick.randint(1, 9), "global_batch_size": pick.randint(1, 40)},
        "parallel": {
            "data": pick.randint(1, 5), "tensor": pick.randint(1, 5), "stages": pick.randint(1, 5),
            "zero_stage": pick.randint(0, 3), "offload_optimiser": pick.choice(("none", "host", "disk")),
        },
        "optimiser": {"name": pick.choice(("adamw", "sgd", "lbfgs", "adafactor")), "warmup_steps": pick.randint(0, 50)},
        "precision": {"dtype": pick.choice(("auto", "fp32", "bf16", "fp16"))},
        "data": {"objective": pick.choice(("next_token", "masked", "classes", "pairs"))},
        "budget": {"steps": pick.randint(1, 60), "keep_best": pick.random() < 0.3,
            "validate_every": pick.choice((0, 5))},
    }  # fmt: skip
    try:
        return parse(values)
    except SpecError:
        return None


def problems_of(spec: Spec, hardware: Hardware) -> list[Problem]:
    try:
        refuse_impossible(spec, hardware)
    except SpecError as error:
        return with_accepted_fixes(spec, error.problems, hardware)
    return []


def test_no_proposed_fix_is_refused_by_the_rules() -> None:
    pick, num_fixes, num_without = random.Random(SEED), 0, 0
    for _ in range(1500):
        spec, hardware = (
            random_spec(pick),
            Hardware(pick.choice(("cpu", "cuda")), pick.choice((None, 1, 2, 8))),
        )
        for problem in problems_of(spec, hardware) if spec else ():
            num_without += not problem.fix
            if problem.fix:
                num_fixes += 1
                assert is_accepted(spec, problem.fix, hardware), f"{problem} of {spec}"
                left = {one.message for one in problems_of(apply_fix(spec, problem.fix), hardware)}
                assert problem.message not in left
    assert num_fixes > 500


@pytest.mark.parametrize("number", range(60))
def test_a_fix_for_a_tiny_corpus_is_accepted_by_the_same_checks(tmp_path: Path, number: int) -> None:
    pick = random.Random(SEED * 1000 + number)
    lines = "".join(f"{pick.randrange(10 ** pick.randint(1, 9))}\n" for _ in range(pick.randint(1, 900)))
    (tmp_path / "tiny.txt").write_text(lines)
    spec = parse(
        {
            "model": {"context": pick.choice((64, 512, 4096))},
            "data": {
                "corpus": "tiny.txt", "tokenizer": "bytes", "validation_share": pick.choice((0.01, 0.05, 0.5)),
                "objective": pick.choice(("next_token", "masked")),
            },
        }
    )  # fmt: skip
    prepared = prepare.prepare(spec.data, tmp_path, tmp_path / "data")
    try:
        objectives.refuse_unfit(spec, prepared)
    except SpecError as error:
        (problem,) = error.problems
        if problem.fix:
            objectives.refuse_unfit(apply_fix(spec, problem.fix), prepared)
        else:
            assert "Add text" in problem.message
            assert min(len(prepared.train), len(prepared.validation)) < 9
