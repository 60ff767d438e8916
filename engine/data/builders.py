"""Content of a prepared folder: tokens of both parts, tokenizer, statistics."""

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
from engine.data.tokenizers import BpeTokenizer, ByteTokenizer, Tokenizer
from engine.spec.parts import Data

PARTS = ("train", "validation")
ReportProgress = Callable[[str], object]  # receives one sentence before each stage


def build(
    folder: Path,
    found: list[Example],
    kind: Kind,
    data: Data,
    report_progress: ReportProgress,
    existing_tokenizer: Path | None = None,
) -> dict[str, Any]:
    """Fill the folder and return the statistics for its meta.json.

    `existing_tokenizer` is the file of a BPE to use instead of training one.
    """
    if kind == "text":
        return _build_text(
            folder, [example.source for example in found], data, report_progress, existing_tokenizer
        )
    return _build_examples(folder, found, kind, data, report_progress, existing_tokenizer)


def _build_text(
    folder: Path,
    texts: Sequence[str],
    data: Data,
    report_progress: ReportProgress,
    existing_tokenizer: Path | None,
) -> dict[str, Any]:
    train, validation = segments.split(texts, data.validation_share)
    size = f"{sum(len(text) for text in train):,} characters of {len(texts):,} documents"
    tokenizer = _prepare_tokenizer(folder, train, size, data, report_progress, existing_tokenizer)
    report_progress(f"Tokenising {size}")
    meta: dict[str, Any] = {}
    # Each segment ends with the token of the byte NUL, which no text contains, so the vocabulary needs no extra token.
    end = np.array([tokenizer.specials.end], np.uint16)
    for part, chosen in zip(PARTS, (train, validation), strict=True):
        arrays = [array for tokens in tokenizer.encode(chosen) for array in (tokens, end)]
        tokens = np.concatenate(arrays) if arrays else np.zeros(0, np.uint16)
        meta |= {f"{part}_tokens": len(tokens), f"{part}_bytes": sum(len(text.encode()) for text in chosen)}
        write_array(folder / f"{part}.bin", tokens)
    return meta


def _build_examples(
    folder: Path,
    found: list[Example],
    kind: Kind,
    data: Data,
    report_progress: ReportProgress,
    existing_tokenizer: Path | None,
) -> dict[str, Any]:
    train, validation = pairs.split(found, data.validation_share)
    size = f"{len(train):,} examples"
    texts = [example.source for example in train]
    if kind == "pairs":
        texts += [example.target for example in train]  # one vocabulary for both sides
    tokenizer = _prepare_tokenizer(folder, texts, size, data, report_progress, existing_tokenizer)
    report_progress(f"Tokenising {size}")
    names = sorted({example.target for example in train}) if kind == "classes" else []
    meta: dict[str, Any] = {"classes": names} if kind == "classes" else {}
    for part, chosen in zip(PARTS, (train, validation), strict=True):
        if kind == "classes":  # a model cannot predict a class that is missing in training
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


def _prepare_tokenizer(
    folder: Path,
    texts: Sequence[str],
    size: str,
    data: Data,
    report_progress: ReportProgress,
    existing_tokenizer: Path | None,
) -> Tokenizer:
    if data.tokenizer == "bytes":
        return ByteTokenizer()
    if existing_tokenizer is not None:
        found = BpeTokenizer.load(existing_tokenizer.parent)
        found.save(folder)
        return found
    report_progress(f"Training a BPE of {data.vocab_size:,} tokens on {size}")
    trained = BpeTokenizer.train(texts, data.vocab_size)
    trained.save(folder)
    return trained
