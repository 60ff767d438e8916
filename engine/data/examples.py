"""Examples on disk: concatenated token sequences with their end offsets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """Sources of one part with either targets (pairs) or labels (classes, numbered in order of their names)."""

    sources: Sequences
    targets: Sequences | None
    labels: npt.NDArray[np.int64] | None

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


def write_sequences(folder: Path, name: str, sequences: Sequence[Tokens]) -> None:
    """Write NAME.bin and NAME.ends into the folder, with fsync."""
    ends = np.cumsum([len(tokens) for tokens in sequences], dtype=np.int64)
    joined = np.concatenate(sequences) if sequences else np.zeros(0, np.uint16)
    write_array(folder / f"{name}.bin", joined.astype(np.uint16))
    write_array(folder / f"{name}.ends", ends)


def read_sequences(folder: Path, name: str) -> Sequences:
    return Sequences(map_array(folder / f"{name}.bin"), map_array(folder / f"{name}.ends", np.int64))


def read_examples(folder: Path, part: str) -> Examples:
    """Read the examples of the part 'train' or 'validation'."""
    labels, has_targets = folder / f"{part}.labels", (folder / f"{part}.target.bin").exists()
    return Examples(
        read_sequences(folder, f"{part}.source"),
        read_sequences(folder, f"{part}.target") if has_targets else None,
        map_array(labels, np.int64) if labels.exists() else None,
    )
