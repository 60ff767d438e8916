"""Epochs: passes of a budget over the training part of its corpus."""

from __future__ import annotations

import os
from pathlib import Path

from engine.data import files
from engine.data.corpora import BY_NAME, DATASET_PREFIX
from engine.data.full_batch import count_sequences
from engine.data.lines import Kind
from engine.data.prepare import PreparedData
from engine.spec.spec import Spec, SpecError

MANY_EPOCHS = (
    40  # beyond this, repeated text adds next to nothing (Muennighoff et al., arXiv 2305.16264, section 6)
)
TOKEN_BYTES = {"bytes": 1.0, "bpe": 3.4}  # of a token, about: BPE of 4,096 tokens on English and on Python


def count_epochs(spec: Spec, prepared: PreparedData) -> float:
    """Passes over the training part, exactly."""
    return _divide(spec, count_sequences(spec, prepared))


def estimate_epochs(spec: Spec, kind: Kind, size: float) -> float:
    """Passes over a corpus before it is prepared. `size`: bytes of a text, else examples."""
    size *= 1 - spec.data.validation_share
    if kind == "text":
        size /= TOKEN_BYTES[spec.data.tokenizer] * spec.model.context
    return _divide(spec, max(1.0, size))


def _divide(spec: Spec, sequences: float) -> float:
    return (
        spec.budget.steps
        if spec.batch.full_batch
        else spec.budget.steps * spec.batch.global_batch_size / sequences
    )


def measure_corpus(name: str, corpus_root: str | os.PathLike[str]) -> tuple[Kind, float] | None:
    """Kind and size of a built-in corpus, about, or of a text file; None if its size is not known here."""
    if name in BY_NAME:
        return (BY_NAME[name].kind, BY_NAME[name].about_size) if BY_NAME[name].about_size else None
    if name.startswith(DATASET_PREFIX):
        return None
    try:
        if files.detect_kind(name, Path(corpus_root)) != "text":
            return None
        return "text", float((Path(corpus_root) / name).stat().st_size)
    except (OSError, SpecError):
        return None


def format_epochs(epochs: float) -> str:
    return f"{epochs:,.0f}" if epochs >= 100 else f"{epochs:.3g}"


def describe_epochs(epochs: float, unit: str) -> str:
    """A sentence about the passes; it warns of many. `unit`: 'tokens' or 'examples', with their number."""
    text = f"The budget passes over the {unit} {format_epochs(epochs)} times."
    if epochs > MANY_EPOCHS:
        text += (
            f" Beyond about {MANY_EPOCHS} passes a model learns the text by heart: take more data, fewer steps or a "
            "smaller batch."
        )
    return text
