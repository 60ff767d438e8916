"""Public config.json files: accepted with the right number of parameters, or refused with the field.

The parameters in public_configs.json are those of transformers, which `test_the_counts_are_those_of_transformers`
counts again.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engine.checkpoints.huggingface.architectures import (
    ArchitectureError,
    build_model,
    find_misfits,
    read_config,
)
from engine.model_math import counts
from engine.spec.checks import refuse_impossible
from engine.spec.spec import parse
from tests.engine.checkpoints.families.test_families import LOADERS, OBJECTIVES

FACTS = json.loads((Path(__file__).parent / "public_configs.json").read_text())
ACCEPTED: dict[str, dict[str, Any]] = FACTS["accepted"]
REFUSED: dict[str, dict[str, Any]] = FACTS["refused"]
RESERVED_ROWS = {"opt": 2, "roberta": 2}  # of learned positions, which no token has


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_public_model_has_the_right_number_of_parameters(name: str) -> None:
    config, expected = ACCEPTED[name]["config"], ACCEPTED[name]["parameters"]
    family, fields = read_config(config)
    model = build_model(fields)
    spec = parse(
        {
            "model": fields,
            "data": {"tokenizer": "bpe", "vocab_size": config["vocab_size"], "objective": OBJECTIVES[model.family]},
            "parallel": {"data": 1},
        }
    )  # fmt: skip
    refuse_impossible(spec)
    shapes = [shape for one in family.mappings(model, config["vocab_size"]) for shape in one.hf_shapes()]
    assert sum(math.prod(shape) for shape in shapes) == expected
    reserved = RESERVED_ROWS.get(family.model_type, 0) * model.width
    assert counts.parameters(spec) == expected - reserved
    assert list(find_misfits(model, family)) == [], "what is read can be written"


@pytest.mark.parametrize("name", REFUSED)
def test_a_public_model_is_refused_with_the_field(name: str) -> None:
    with pytest.raises(ArchitectureError, match=REFUSED[name]["reason"]):
        read_config(REFUSED[name]["config"])


def count_in_transformers(config: dict[str, Any]) -> int:
    family, _ = read_config(config)
    values = transformers.AutoConfig.for_model(**config)
    with torch.device("meta"):
        model = LOADERS[family.fixed["family"]].from_config(values)
    count = sum(one.numel() for one in model.parameters())
    if config["model_type"] in ("t5", "mt5") and config.get("tie_word_embeddings") is False:
        # transformers 5 ties every T5 until it loads weights with a head of their own, as the published ones are.
        count += config["vocab_size"] * config["d_model"]
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCEPTED)
def test_the_counts_are_those_of_transformers(name: str) -> None:
    assert count_in_transformers(ACCEPTED[name]["config"]) == ACCEPTED[name]["parameters"]
