"""What a prepared folder holds: tokens of both parts, the tokenizer, and figures about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.data import examples as pairs
from engine.data import segments
from engine.data.arrays import write_array
from engine.data.examples import Example
from engine.data.lines import Kind
from engine.data.tokenizers import Bpe, Bytes, Tokenizer
from engine.spec.parts import Data

PARTS = ("train", "validation")
Say = Callable[[str], object]


def build(
    folder: Path, found: list[Example], kind: Kind, data: Data, say: Say, known: Path | None = None
) -> dict[str, Any]:
    """Fill the folder; returns the figures for its meta.json. `known`: a BPE's file, to be used and not trained."""
    if kind == "text":
        return _texts(folder, [example.source for example in found], data, say, known)
    return _examples(folder, found, kind, data, say, known)


def _texts(folder: Path, texts: Sequence[str], data: Data, say: Say, known: Path | None) -> dict[str, Any]:
    train, validation = segments.split(texts, data.validation_share)
    size = f"{sum(len(text) for text in train):,} characters of {len(texts):,} documents"
    tokenizer = _tokenizer(folder, train, size, data, say, known)
    say(f"Tokenising {size}")
    meta: dict[str, Any] = {}
    # A segment ends with the token of the byte NUL, which no text holds; so no vocabulary needs an extra token.
    end = np.array([tokenizer.specials.end], np.uint16)
    for part, chosen in zip(PARTS, (train, validation), strict=True):
        pieces = [piece for tokens in tokenizer.encode(chosen) for piece in (tokens, end)]
        tokens = np.concatenate(pieces) if pieces else np.zeros(0, np.uint16)
        meta |= {f"{part}_tokens": len(tokens), f"{part}_bytes": sum(len(text.encode()) for text in chosen)}
        write_array(folder / f"{part}.bin", tokens)
    return meta


def _examples(
    folder: Path, found: list[Example], kind: Kind, data: Data, say: Say, known: Path | None
) -> dict[str, Any]:
    train, validation = pairs.split(found, data.validation_share)
    size = f"{len(train):,} examples"
    texts = [example.source for example in train]
    if kind == "pairs":
        texts += [example.target for example in train]  # one vocabulary for both sides
    tokenizer = _tokenizer(folder, texts, size, data, say, known)
    say(f"Tokenising {size}")
    names = sorted({example.target for example in train}) if kind == "classes" else []
    meta: dict[str, Any] = {"classes": names} if kind == "classes" else {}
    for part, chosen in zip(PARTS, (train, validation), strict=True):
        if kind == "classes":  # a class that training never shows cannot be told apart
            chosen = [example for example in chosen if example.target in names]
            labels = np.array([names.index(example.target) for example in chosen], np.int64)
            write_array(folder / f"{part}.labels", labels)
        sources = tokenizer.encode([example.source for example in chosen])
        pairs.write_sequences(folder, f"{part}.source", sources)
        predicted, tokens = [example.source for example in chosen], sources
        if kind == "pairs":
            predicted = [example.target for example in chosen]
            tokens = tokenizer.encode(predicted)
            pairs.write_sequences(folder, f"{part}.target", tokens)
        meta |= {
            f"{part}_examples": len(chosen),
            f"{part}_tokens": sum(len(one) + 1 for one in tokens),
            f"{part}_bytes": sum(len(text.encode()) for text in predicted),
        }
    return meta


def _tokenizer(
    folder: Path, texts: Sequence[str], size: str, data: Data, say: Say, known: Path | None
) -> Tokenizer:
    if data.tokenizer == "bytes":
        return Bytes()
    if known is not None:
        found = Bpe.loaded(known.parent)
        found.save(folder)
        return found
    say(f"Training a BPE of {data.vocab_size:,} tokens on {size}")
    trained = Bpe.trained(texts, data.vocab_size)
    trained.save(folder)
    return trained
