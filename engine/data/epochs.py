"""Epochs of a run: how often it reads its corpus."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from engine.data import files
from engine.data.corpora import BY_NAME, DATASET_PREFIX
from engine.data.objectives import count_sequences
from engine.data.prepare import PreparedData
from engine.data.segments import UNIT_CHARS
from engine.spec.spec import Spec, SpecError

# Of a BPE on prose and source, from 2,048 tokens up; a byte is one token without it.
BPE_BYTES_PER_TOKEN = 3.0
# Up to 4 epochs are worth almost as much as new text, and further ones next to nothing after about 40 (arXiv
# 2305.16264, section 6).
WARN_ABOVE = 40


@dataclass(frozen=True)
class CorpusSize:
    """Bytes of text, or examples of a corpus of pairs or labels; None where it is not known."""

    bytes: int | None = None
    num_examples: int | None = None

    @property
    def text(self) -> str:
        if self.num_examples is not None:
            return f"{self.num_examples:,} examples"
        size = self.bytes or 0
        unit, name = next(
            ((u, n) for u, n in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if size >= u), (1, "bytes")
        )
        return f"{size / unit:.3g} {name}"


@dataclass(frozen=True)
class Epochs:
    count: float
    size: CorpusSize

    @property
    def sentence(self) -> str:
        """'about 1,600 epochs over 11 MB'."""
        shown = f"{self.count:,.0f}" if self.count >= 10 else f"{self.count:.2g}"
        return f"about {shown} epoch{'' if shown == '1' else 's'} over {self.size.text}"

    @property
    def warning(self) -> str:
        """'' for a sensible number."""
        return warn_of(self.count)


def built_in_or_file_size(corpus: str, root: str | os.PathLike[str] | None) -> CorpusSize | None:
    """The size of a built-in corpus or of a text file below the root; None where it is not known."""
    if corpus in BY_NAME:
        found = BY_NAME[corpus]
        if not found.about_size:
            return None
        return (
            CorpusSize(bytes=found.about_size) if found.kind == "text" else CorpusSize(None, found.about_size)
        )
    if corpus.startswith(DATASET_PREFIX) or root is None:
        return None
    try:
        if files.detect_kind(corpus, Path(root)) != "text":
            return None
        return CorpusSize(bytes=files.file_stamp(corpus, Path(root))[1])
    except (SpecError, OSError):
        return None


def count_epochs(spec: Spec, size: CorpusSize | None) -> Epochs | None:
    """None where the size is not known."""
    if size is None or spec.kind == "fabric_test":
        return None
    if spec.batch.full_batch:
        return Epochs(float(spec.budget.steps), size)
    sequences = spec.budget.steps * spec.batch.global_batch_size
    if size.num_examples is not None and spec.data.packing:
        return None  # how many examples share a sequence is known when they are tokens
    if size.num_examples is not None:
        trained = size.num_examples * (1 - spec.data.validation_share)
        return Epochs(sequences / trained, size) if trained else None
    if not size.bytes:
        return None
    per_token = BPE_BYTES_PER_TOKEN if spec.data.tokenizer == "bpe" else 1.0
    # Text is held out in whole units, at least one is trained on
    held = math.ceil(spec.data.validation_share * size.bytes / UNIT_CHARS) * UNIT_CHARS
    read = max(size.bytes - held, min(size.bytes, UNIT_CHARS))
    return Epochs(sequences * spec.model.context / (read / per_token), size)


def describe_prepared(spec: Spec, prepared: PreparedData) -> tuple[str, str]:
    """A sentence with the exact number of epochs, and its level: info or warning."""
    steps, full = spec.budget.steps, spec.batch.full_batch
    count = float(steps) if full else steps * spec.batch.global_batch_size / count_sequences(spec, prepared)
    warning = warn_of(count)
    text = f"The budget of {steps:,} steps is {count:,.3g} epochs." if count < 1000 else ""
    return " ".join(filter(None, (text, warning))), "warning" if warning else "info"


def warn_of(count: float) -> str:
    """'' for a sensible number of epochs."""
    if count <= WARN_ABOVE:
        return ""
    return (
        f"The run reads its corpus {count:,.0f} times. Beyond about {WARN_ABOVE} epochs a model learns its "
        "text by heart: use more data, fewer steps, or a smaller global batch."
    )
