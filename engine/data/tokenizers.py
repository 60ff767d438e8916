"""Tokenizers: bytes, a byte-level BPE trained on a corpus, published ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.data.arrays import Tokens, token_type
from engine.data.encodings import Encoding, encode_around, spans_of_bytes
from engine.data.pretrained import PretrainedTokenizer
from engine.data.special_tokens import PADDING, SpecialTokens, special_tokens
from engine.spec.parts import TokenizerKind

BPE_FILE = "tokenizer.json"
TURN_BEGIN, TURN_END = "<|im_start|>", "<|im_end|>"  # of ChatML


class Tokenizer(Protocol):
    """Converts text to tokens and back."""

    specials: SpecialTokens

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text, without special tokens."""
        ...

    def encode_spans(self, text: str) -> Encoding:
        """Return the ids of a rendered chat, in which special tokens are written as text."""
        ...

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text up to the first end token. Special tokens and invalid characters never raise."""
        ...


class ByteTokenizer:
    """One token per UTF-8 byte."""

    specials = special_tokens("bytes")

    def encode_spans(self, text: str) -> Encoding:
        return encode_around(text, turn_markers(self.specials), self._encode_piece)

    def _encode_piece(self, text: str) -> Encoding:
        ids = list(text.encode())
        return Encoding(ids, spans_of_bytes(text, [(at, at + 1) for at in range(len(ids))]))

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.uint16) for text in texts]

    def decode(self, tokens: Iterable[int]) -> str:
        kept = bytes(token for token in _take_until(self.specials.end, tokens) if 0 <= token < 0xF8)
        return kept.decode(errors="replace")


class BpeTokenizer:
    """Byte-level BPE (Sennrich et al., arXiv 1508.07909; byte alphabet as in GPT-2)."""

    specials = special_tokens("bpe")

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._type = token_type(tokenizer.get_vocab_size())
        assert tokenizer.token_to_id("\u0100") == self.specials.end, "alphabet is not in GPT-2's order"
        assert tokenizer.token_to_id("\u00ff") == self.specials.mask

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> BpeTokenizer:
        """Train a BPE of `vocab_size` tokens on the texts."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, folder: Path) -> BpeTokenizer:
        """Load the BPE that `save` has written into the folder."""
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_file(str(folder / BPE_FILE)))

    def save(self, folder: Path) -> None:
        self._tokenizer.save(str(folder / BPE_FILE))

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, self._type) for encoding in encodings]

    def encode_spans(self, text: str) -> Encoding:
        return encode_around(text, turn_markers(self.specials), self._encode_piece)

    def _encode_piece(self, text: str) -> Encoding:
        found = self._tokenizer.encode(text, add_special_tokens=False)
        return Encoding(found.ids, found.offsets)

    def decode(self, tokens: Iterable[int]) -> str:
        special = {PADDING, self.specials.mask, self.specials.begin, self.specials.separator}
        kept = [token for token in _take_until(self.specials.end, tokens) if token not in special]
        return str(self._tokenizer.decode(kept))


def load_tokenizer(folder: Path, kind: TokenizerKind) -> Tokenizer:
    """Load the tokenizer of a prepared folder."""
    if kind == "pretrained":
        return PretrainedTokenizer.load(folder)
    return ByteTokenizer() if kind == "bytes" else BpeTokenizer.load(folder)


def turn_markers(specials: SpecialTokens) -> dict[str, int]:
    """Texts that begin and end a turn of a chat, with their ids in a tokenizer made here."""
    return {TURN_BEGIN: specials.begin, TURN_END: specials.end}


def _take_until(end: int, tokens: Iterable[int]) -> Iterable[int]:
    for token in tokens:
        if token == end:
            return
        yield int(token)
