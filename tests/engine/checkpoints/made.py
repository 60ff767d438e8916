"""Checkpoints for tests, written from a model's weights without a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.checkpoints import tensors
from engine.checkpoints.folder import complete
from engine.checkpoints.pieces import WEIGHT, key_of, rank_file
from engine.spec.spec import Spec, parse


def small(**model: Any) -> Spec:
    sizes = {"layers": 2, "width": 32, "heads": 4, "ffn_width": 48, "context": 16}
    return parse({"model": sizes | model, "data": {"tokenizer": "bytes"}, "parallel": {"data": 1}})


def write_checkpoint(folder: Path, spec: Spec, weights: dict[str, Any], step: int = 1) -> Path:
    """A complete checkpoint of one rank. `weights`: arrays by our names."""
    aside = folder / f".saving-step-{step:08d}"
    aside.mkdir(parents=True)
    table = {name: {"shape": values.shape, "cut": None} for name, values in weights.items()}
    flat = {key_of(WEIGHT, name, 0, 0): values.reshape(-1) for name, values in weights.items()}
    tensors.write(aside / rank_file(0), flat, {"own": json.dumps({"parameters": table})})
    final = folder / f"step-{step:08d}"
    complete(aside, final, {"step": step, "spec": spec.model_dump(), "layout": {}, "validation_loss": None})
    return final
