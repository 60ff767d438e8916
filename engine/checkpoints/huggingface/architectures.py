"""Hugging Face architectures: the family of a model, and of a config.json."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from engine.checkpoints.huggingface.families.bert import BERT, ROBERTA
from engine.checkpoints.huggingface.families.gemma import GEMMA, GEMMA2, GEMMA3
from engine.checkpoints.huggingface.families.gpt2 import GPT2
from engine.checkpoints.huggingface.families.gpt_neox import GPT_NEOX
from engine.checkpoints.huggingface.families.llama import LLAMA
from engine.checkpoints.huggingface.families.mistral import MISTRAL
from engine.checkpoints.huggingface.families.olmo2 import OLMO2
from engine.checkpoints.huggingface.families.opt import OPT
from engine.checkpoints.huggingface.families.phi3 import PHI3
from engine.checkpoints.huggingface.families.qwen import QWEN2, QWEN3
from engine.checkpoints.huggingface.families.refused import refusal
from engine.checkpoints.huggingface.families.t5 import MT5, T5
from engine.checkpoints.huggingface.mapping.family import ArchitectureError as ArchitectureError
from engine.checkpoints.huggingface.mapping.family import Family as Family
from engine.spec.model import Model

# A model that several families describe is exported as the first.
FAMILIES = (
    GPT2, LLAMA, MISTRAL, QWEN2, QWEN3, OLMO2, GEMMA, GEMMA2, GEMMA3, PHI3, GPT_NEOX, OPT, BERT, ROBERTA, T5, MT5,
)  # fmt: skip
NEAREST = 2  # families named in a refusal


def find_family(model: Model) -> Family:
    """Return the family that describes a model. Raises ArchitectureError with the mismatches of the nearest ones."""
    misfits = {family.title: list(find_misfits(model, family)) for family in FAMILIES}
    for family in FAMILIES:
        if not misfits[family.title]:
            return family
    nearest = sorted(misfits.items(), key=lambda one: len(one[1]))[:NEAREST]
    reasons = "; ".join(f"{title} needs {', '.join(found)}" for title, found in nearest)
    raise ArchitectureError(f"The model matches no supported Hugging Face family. The nearest: {reasons}.")


def find_misfits(model: Model, family: Family) -> Iterator[str]:
    """Yield what a family cannot describe: fields that differ in a model read from the config.json of this one."""
    try:
        back = build_model(family.read(family.write(model)))
    except ArchitectureError as error:
        yield f"another model, since {error}"
        return
    required = back.identity()
    if back.positions != model.positions:  # the context is part of learned positions alone
        required["context"] = model.identity()["context"]
    for field, value in model.identity().items():
        if not _is_equal(value, required[field]):
            yield f"{field} {_shown(required[field])} instead of {_shown(value)}"


def _is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6)
    return bool(one == other)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "empty" if value is None else str(value)


def read_config(config: Mapping[str, Any]) -> tuple[Family, dict[str, Any]]:
    """Return the family of a config.json and its fields of spec.model. Raises ArchitectureError."""
    known = {family.model_type: family for family in FAMILIES}
    family = known.get(str(config.get("model_type")))
    if family is None:
        raise ArchitectureError(
            refusal(config)
            or f"its model type is {config.get('model_type')!r}; the supported types are {', '.join(known)}"
        )
    return family, family.read(config)


def build_model(fields: Mapping[str, Any]) -> Model:
    """Return the model. Raises ArchitectureError with the field that is out of its range."""
    try:
        return Model(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "model"
        raise ArchitectureError(f"its config.json gives {name} {first['input']!r}: {first['msg']}") from None
