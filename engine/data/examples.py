"""Examples on disk: concatenated token sequences with their end offsets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.data.arrays import Tokens, map_array, write_array


@dataclass(frozen=True)
class Example:
    """A source text with its target: a translation, summary or answer, or the name of its class."""

    source: str
    target: str


class Sequences:
    """Token sequences of any length, mapped read-only."""

    def __init__(self, tokens: Tokens, ends: npt.NDArray[np.int64]) -> None:
        self.tokens, self._ends = tokens, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Tokens:
        start = int(self._ends[number - 1]) if number else 0
        return self.tokens[start : int(self._ends[number])]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self._ends, prepend=0)


@dataclass(frozen=True)
class Examples:
    """Sources of one part with targets (pairs), labels (classes, numbered in order of their names), or, for chats,
    with 1 at each token of an answer."""

    sources: Sequences
    targets: Sequences | None
    labels: npt.NDArray[np.int64] | None
    trained: Sequences | None = None

    def __len__(self) -> int:
        return len(self.sources)


def split(examples: Iterable[Example], validation_share: float) -> tuple[list[Example], list[Example]]:
    """Split examples into training and validation parts, in a stable order and without duplicates.

    The hash of the source decides, so all examples with one source go to the same part and no held-out source occurs
    in training with another target.
    """
    unique = list(dict.fromkeys(examples))
    by_hash = {example.source: hashlib.sha256(example.source.encode()).digest() for example in unique}
    sources = sorted(by_hash, key=by_hash.__getitem__)
    count = min(max(1, round(validation_share * len(sources))), max(0, len(sources) - 1))
    held_out = set(sources[:count])
    parts: tuple[list[Example], list[Example]] = ([], [])
    for example in unique:
        parts[example.source in held_out].append(example)
    return parts


def write_sequences(folder: Path, name: str, sequences: Sequence[npt.NDArray[Any]], kind: type) -> None:
    """Write NAME.bin, of this number type, and NAME.ends into the folder, with fsync."""
    ends = np.cumsum([len(tokens) for tokens in sequences], dtype=np.int64)
    joined = np.concatenate(sequences) if sequences else np.zeros(0, kind)
    write_array(folder / f"{name}.bin", joined.astype(kind, copy=False))
    write_array(folder / f"{name}.ends", ends)


def read_sequences(folder: Path, name: str, kind: type) -> Sequences:
    return Sequences(map_array(folder / f"{name}.bin", kind), map_array(folder / f"{name}.ends", np.int64))


def read_examples(folder: Path, kind: type, part: str) -> Examples:
    """Read the examples of the part 'train' or 'validation', whose tokens have this number type."""
    labels = folder / f"{part}.labels"
    has_targets, has_trained = ((folder / f"{part}.{name}.bin").exists() for name in ("target", "trained"))
    return Examples(
        read_sequences(folder, f"{part}.source", kind),
        read_sequences(folder, f"{part}.target", kind) if has_targets else None,
        map_array(labels, np.int64) if labels.exists() else None,
        read_sequences(folder, f"{part}.trained", np.uint8) if has_trained else None,
    )
