"""Sample checkpoints for tests, written from weights without a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints import tensors
from engine.checkpoints.folder import complete_checkpoint
from engine.checkpoints.sharded_checkpoint import CPU_RANDOM_STATE, WEIGHT, rank_file_name, shard_key
from engine.model_math.counts import is_tied, layer_kinds
from engine.model_math.parameters import layer_parameters
from engine.spec.spec import Spec, parse


def small(**model: Any) -> Spec:
    """Return the spec of a small model; `model` overrides its fields."""
    sizes = {"layers": 2, "width": 32, "heads": 4, "ffn_width": 48, "context": 16}
    return parse({"model": sizes | model, "data": {"tokenizer": "bytes"}, "parallel": {"data": 1}})


def build_zero_weights(spec: Spec) -> dict[str, Any]:
    """Return weights of a model by the parameter names here."""
    kinds = layer_kinds(spec)
    found = {
        f"{index}.{one.name}": np.zeros(one.shape, np.float32)
        for index, kind in enumerate(kinds)
        for one in layer_parameters(spec.model, spec.vocab_size, kind)
    }
    if is_tied(spec):
        del found[f"{len(kinds) - 1}.weight"]
    return found


def write_checkpoint(folder: Path, spec: Spec, weights: dict[str, Any], step: int = 1) -> Path:
    """Write a complete checkpoint of one rank. `weights` maps parameter names to arrays."""
    temporary = folder / f".saving-step-{step:08d}"
    temporary.mkdir(parents=True)
    table = {name: {"shape": values.shape, "cut": None} for name, values in weights.items()}
    flat = {shard_key(WEIGHT, name, 0, 0): values.reshape(-1) for name, values in weights.items()}
    flat[CPU_RANDOM_STATE] = np.zeros(8, np.uint8)
    own = {"parameters": table, "scalars": {}, "loss_scale": {}, "skipped_steps": 0}
    tensors.write_tensors(temporary / rank_file_name(0), flat, {"own": json.dumps(own)})
    final = folder / f"step-{step:08d}"
    layout = {
        "model": {},
        "parallel": spec.parallel.model_dump() | {"data": 1, "tensor": 1, "stages": 1},
        "dtype": "fp32",
        "optimiser": spec.optimiser.name,
    }
    layout["micro_batch_size"] = spec.batch.micro_batch_size
    description = {"step": step, "spec": spec.model_dump(), "layout": layout, "validation_loss": None}
    complete_checkpoint(temporary, final, description)
    return final
