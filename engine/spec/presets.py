"""Presets: the demo, and model sizes from 1 M to 7 B parameters."""

from __future__ import annotations

from typing import Any

from engine.spec.spec import Spec, parse


def _size(layers: int, width: int, heads: int, context: int, **more: Any) -> dict[str, Any]:
    """Values of a decoder of that size; further arguments are fields of its model, or other parts of the spec."""
    model = {"layers": layers, "width": width, "heads": heads, "ffn_width": 4 * width, "context": context}
    parts = {name: value for name, value in more.items() if isinstance(value, dict)}
    return {"model": model | {name: more[name] for name in more.keys() - parts.keys()}} | parts


# name -> (description, values that differ from the defaults of the spec)
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "demo": (
        "1.3 M parameters on Python's documentation: a falling loss within a minute on two CPU cores",
        _size(4, 128, 4, 128, budget={"steps": 150, "validate_every": 50, "checkpoint_every": 50}),
    ),
    "pipeline": (
        "The demo model in two pipeline stages",
        _size(
            4, 128, 4, 128,
            parallel={"data": 1, "stages": 2, "zero_stage": 1},
            batch={"global_batch_size": 16, "micro_batch_size": 4},
            budget={"steps": 150, "validate_every": 50, "checkpoint_every": 50},
        ),
    ),
    "code": (
        "Source code: a decoder on the source of Python's standard library",
        _size(4, 128, 4, 128, data={"corpus": "python-source"},
              batch={"global_batch_size": 32, "micro_batch_size": 16},
              optimiser={"learning_rate": 2e-3},
              budget={"steps": 300, "validate_every": 100, "checkpoint_every": 100}),
    ),
    "translation": (
        "Translation: an encoder-decoder on English and French messages of programs",
        _size(2, 128, 4, 32, family="encoder-decoder", tied_embeddings=True,
              data={"corpus": "messages-en-fr", "objective": "pairs", "vocab_size": 2048},
              batch={"global_batch_size": 32, "micro_batch_size": 16},
              optimiser={"learning_rate": 3e-3, "warmup_steps": 100},
              budget={"steps": 1600, "validate_every": 400, "checkpoint_every": 400}),
    ),
    "summaries": (
        "Summarisation: an encoder-decoder describes a function in one line, from its code",
        _size(2, 128, 4, 32, family="encoder-decoder", tied_embeddings=True,
              data={"corpus": "code-summaries", "objective": "pairs", "vocab_size": 2048},
              batch={"global_batch_size": 32, "micro_batch_size": 16},
              optimiser={"learning_rate": 3e-3, "warmup_steps": 100},
              budget={"steps": 1200, "validate_every": 300, "checkpoint_every": 600}),
    ),
    "questions": (
        "Question answering: an encoder-decoder describes a parameter, from the documentation of its function",
        _size(2, 128, 4, 64, family="encoder-decoder", positions="sinusoidal", tied_embeddings=True,
              data={"corpus": "docstring-questions", "objective": "pairs", "vocab_size": 2048, "token_dropout": 0.1},
              batch={"global_batch_size": 32, "micro_batch_size": 16},
              optimiser={"learning_rate": 2e-3, "warmup_steps": 50},
              budget={"steps": 600, "validate_every": 150, "checkpoint_every": 300}),
    ),
    "classification": (
        "Classification: an encoder recognises sixteen languages in short texts",
        _size(2, 96, 4, 64, family="encoder", classes=16,
              data={"corpus": "languages", "objective": "classes", "tokenizer": "bytes", "token_dropout": 0.1},
              batch={"global_batch_size": 64, "micro_batch_size": 32},
              optimiser={"learning_rate": 2e-3, "warmup_steps": 50},
              budget={"steps": 400, "validate_every": 100, "checkpoint_every": 200}),
    ),
    "masked": (
        "Masked language modelling: an encoder on Python's documentation",
        _size(4, 128, 4, 64, family="encoder", positions="rotary",
              data={"objective": "masked", "vocab_size": 1024},
              batch={"global_batch_size": 32, "micro_batch_size": 16},
              optimiser={"learning_rate": 3e-3, "warmup_steps": 50},
              budget={"steps": 800, "validate_every": 200, "checkpoint_every": 400}),
    ),
    "10m": (
        "10 M parameters on the source of Python's standard library",
        _size(6, 320, 5, 256, data={"corpus": "python-source", "vocab_size": 4096},
              budget={"steps": 500, "checkpoint_every": 100}),
    ),
    "50m": (
        "50 M parameters",
        _size(10, 576, 9, 512, data={"corpus": "python-source", "vocab_size": 8192}, budget={"steps": 1000}),
    ),
    "124m": (
        "Shape of GPT-2, 163 M parameters with its untied head",
        _size(12, 768, 12, 1024, data={"corpus": "python-source", "vocab_size": 50304},
              optimiser={"learning_rate": 6e-4, "warmup_steps": 100}, budget={"steps": 2000}),
    ),
    "350m": (
        "Shape of GPT-2 medium",
        _size(24, 1024, 16, 1024, data={"corpus": "python-source", "vocab_size": 50304},
              parallel={"zero_stage": 2}, optimiser={"learning_rate": 3e-4, "warmup_steps": 200}, budget={"steps": 2000}),
    ),
    "1.3b": (
        "1.4 B parameters (shape of GPT-3 XL, untied head), activation checkpointing, ZeRO stage 2",
        _size(24, 2048, 16, 2048, data={"corpus": "python-source", "vocab_size": 50304},
              parallel={"zero_stage": 2, "activation_checkpointing": "full"},
              batch={"global_batch_size": 64, "micro_batch_size": 4},
              optimiser={"learning_rate": 2e-4, "warmup_steps": 200}, budget={"steps": 5000}),
    ),
    "7b": (
        "6.9 B parameters (shape of GPT-3 6.7 B), activation checkpointing, ZeRO stage 3 on eight devices",
        _size(32, 4096, 32, 2048, data={"corpus": "python-source", "vocab_size": 50304},
              parallel={"data": 8, "zero_stage": 3, "activation_checkpointing": "full"},
              batch={"global_batch_size": 256, "micro_batch_size": 4},
              optimiser={"learning_rate": 1.2e-4, "warmup_steps": 500}, budget={"steps": 10000}),
    ),
}  # fmt: skip


def preset(name: str) -> Spec:
    """The complete spec of a preset. Raises KeyError for an unknown name."""
    return parse({"name": name} | PRESETS[name][1])
