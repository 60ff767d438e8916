"""Content of a prepared folder: tokens of both parts, tokenizer, statistics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.data import examples as pairs
from engine.data import segments
from engine.data.arrays import token_type, write_array
from engine.data.chat_tokens import ChatEncoder, ChatTokens, chat_from_example
from engine.data.chats import is_trained
from engine.data.examples import Example
from engine.data.files import corpus_error
from engine.data.lines import Kind
from engine.data.pretrained import PretrainedTokenizer
from engine.data.template_sandbox import TemplateError
from engine.data.tokenizer_files import TokenizerFiles
from engine.data.tokenizers import BpeTokenizer, ByteTokenizer, Tokenizer
from engine.spec.parts import Data

PARTS = ("train", "validation")
ReportProgress = Callable[[str], object]  # receives one sentence before each stage


@dataclass(frozen=True)
class Build:
    """What one prepared folder is made of."""

    folder: Path
    kind: Kind
    data: Data
    report_progress: ReportProgress
    tokenizer_files: TokenizerFiles | None = None  # of the tokenizer to use instead of training one

    def fill(self, found: list[Example]) -> dict[str, Any]:
        """Fill the folder and return the statistics for its meta.json. Raises SpecError and OSError."""
        if self.data.objective == "chat":
            return self._build_chats(found)
        if self.kind == "text":
            return self._build_text([example.source for example in found])
        return self._build_examples(found)

    def _build_text(self, texts: Sequence[str]) -> dict[str, Any]:
        train, validation = segments.split(texts, self.data.validation_share)
        size = f"{sum(len(text) for text in train):,} characters of {len(texts):,} documents"
        tokenizer, meta = self._prepare_tokenizer(train, size)
        self.report_progress(f"Tokenising {size}")
        # Each segment ends with the token of the byte NUL, which no text contains, so the vocabulary needs no extra
        # token; a published tokenizer has its own.
        kind = token_type(self._vocab_size)
        end = np.array([tokenizer.specials.end], kind)
        for part, chosen in zip(PARTS, (train, validation), strict=True):
            arrays = [array for tokens in tokenizer.encode(chosen) for array in (tokens, end)]
            tokens = np.concatenate(arrays).astype(kind, copy=False) if arrays else np.zeros(0, kind)
            meta |= {f"{part}_tokens": len(tokens), f"{part}_bytes": _count_bytes(chosen)}
            write_array(self.folder / f"{part}.bin", tokens)
        return meta

    def _build_examples(self, found: list[Example]) -> dict[str, Any]:
        train, validation = pairs.split(found, self.data.validation_share)
        size = f"{len(train):,} examples"
        texts = [example.source for example in train]
        if self.kind == "pairs":
            texts += [example.target for example in train]  # one vocabulary for both sides
        tokenizer, meta = self._prepare_tokenizer(texts, size)
        self.report_progress(f"Tokenising {size}")
        names = sorted({example.target for example in train}) if self.kind == "classes" else []
        if self.kind == "classes":
            meta["classes"] = names
        kind = token_type(self._vocab_size)
        for part, chosen in zip(PARTS, (train, validation), strict=True):
            if self.kind == "classes":  # a model cannot predict a class that is missing in training
                chosen = [example for example in chosen if example.target in names]
                labels = np.array([names.index(example.target) for example in chosen], np.int64)
                write_array(self.folder / f"{part}.labels", labels)
            sources = tokenizer.encode([example.source for example in chosen])
            pairs.write_sequences(self.folder, f"{part}.source", sources, kind)
            predicted, tokens = [example.source for example in chosen], sources
            if self.kind == "pairs":
                predicted = [example.target for example in chosen]
                tokens = tokenizer.encode(predicted)
                pairs.write_sequences(self.folder, f"{part}.target", tokens, kind)
            meta |= {
                f"{part}_examples": len(chosen),
                f"{part}_tokens": sum(len(one) + 1 for one in tokens),
                f"{part}_bytes": _count_bytes(predicted),
            }
        return meta

    def _build_chats(self, found: list[Example]) -> dict[str, Any]:
        parts = [
            [chat_from_example(example, self.kind) for example in part]
            for part in pairs.split(found, self.data.validation_share)
        ]
        size = f"{len(parts[0]):,} chats"
        texts = [message["content"] for chat in parts[0] for message in chat["messages"]]
        tokenizer, meta = self._prepare_tokenizer(texts, size)
        self.report_progress(f"Tokenising {size}")
        try:
            encoder = ChatEncoder(tokenizer)
        except TemplateError as error:
            raise corpus_error(f"The chat template of the tokenizer cannot be used: {error}.") from None
        kind, refused = token_type(self._vocab_size), list[str]()
        for part, chats in zip(PARTS, parts, strict=True):
            chosen, encoded = _encode_chats(encoder, chats, refused)
            pairs.write_sequences(self.folder, f"{part}.source", [one.tokens for one in encoded], kind)
            pairs.write_sequences(self.folder, f"{part}.trained", [one.trained for one in encoded], np.uint8)
            meta |= {
                f"{part}_examples": len(encoded),
                f"{part}_tokens": sum(int(one.trained.sum()) for one in encoded),
                f"{part}_bytes": _count_bytes(
                    message["content"]
                    for chat in chosen
                    for message in chat["messages"]
                    if is_trained(message)
                ),
            }
        self._report_refused(refused, sum(map(len, parts)))
        return meta | {"refused_chats": len(refused)}

    def _report_refused(self, refused: list[str], total: int) -> None:
        """Raises SpecError if no chat is left."""
        if not refused:
            return
        if len(refused) == total:
            raise corpus_error(f"No chat of '{self.data.corpus}' can be used; the first: {refused[0]}.")
        self.report_progress(f"{len(refused):,} of {total:,} chats are left out; the first: {refused[0]}")

    @property
    def _vocab_size(self) -> int:
        return 256 if self.data.tokenizer == "bytes" else self.data.vocab_size

    def _prepare_tokenizer(self, texts: Sequence[str], size: str) -> tuple[Tokenizer, dict[str, Any]]:
        """Return the tokenizer, which is saved in the folder, and what meta.json says about it."""
        if self.data.tokenizer == "bytes":
            return ByteTokenizer(), {}
        if self.data.tokenizer == "pretrained":
            assert self.tokenizer_files is not None
            own = PretrainedTokenizer(self.tokenizer_files)
            self.tokenizer_files.copy_to(self.folder)
            return own, {"specials": asdict(own.specials)}
        if self.tokenizer_files is not None:
            found = BpeTokenizer.load(self.tokenizer_files.vocabulary.parent)
        else:
            self.report_progress(f"Training a BPE of {self.data.vocab_size:,} tokens on {size}")
            found = BpeTokenizer.train(texts, self.data.vocab_size)
        found.save(self.folder)
        return found, {}


def _encode_chats(
    encoder: ChatEncoder, chats: Iterable[dict[str, Any]], refused: list[str]
) -> tuple[list[dict[str, Any]], list[ChatTokens]]:
    """Return the chats that can be used and their tokens; adds the reasons for the others to `refused`."""
    chosen, encoded = [], []
    for chat in chats:
        try:
            found = encoder.encode(chat)
            if not found.trained.any():
                raise TemplateError("none of its tokens belongs to an answer")
            chosen.append(chat)
            encoded.append(found)
        except TemplateError as error:
            beginning = json.dumps(chat["messages"][0]["content"][:80], ensure_ascii=False)
            refused.append(f"{beginning}: {error}")
    return chosen, encoded


def _count_bytes(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)
