"""Command `model`: the spec of a Hugging Face folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from engine.checkpoints.huggingface.architectures import ArchitectureError, build_model, read_config
from engine.checkpoints.huggingface.mapping.family import read_size
from engine.checkpoints.huggingface.read import read_json
from engine.model_math import counts
from engine.spec.checks import OBJECTIVES
from engine.spec.parts import Data
from engine.spec.spec import Spec

CONFIG = "config.json"


def run_model(path: Path) -> int:
    """Print family, parameters and the part of a spec that describes the model; 1 if it is not supported."""
    file = path if path.is_file() else path / CONFIG
    try:
        text = describe_config(read_json(file))
    except ArchitectureError as error:
        sys.stderr.write(f"{path} is not supported: {error}.\n")
        return 1
    sys.stdout.write(text)
    return 0


def describe_config(config: dict[str, Any]) -> str:
    """Return YAML with the fields that differ from their defaults. Raises ArchitectureError."""
    family, fields = read_config(config)
    model, vocab_size = build_model(fields), read_size(config, "vocab_size")
    objective = OBJECTIVES[model.family][0]
    data = Data(tokenizer="bpe", vocab_size=max(vocab_size, 256), objective=objective)  # type: ignore[arg-type]
    spec = Spec(model=model, data=data)
    parts = {
        "model": model.model_dump(exclude_defaults=True),
        "data": {"tokenizer": "bpe", "vocab_size": vocab_size, "objective": objective},
    }
    head = f"# {family.title}, {counts.parameters(spec):,} parameters\n"
    return head + yaml.safe_dump(parts, sort_keys=False)
