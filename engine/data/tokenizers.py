"""Text to tokens and back: bytes, or a byte-level BPE trained on a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from engine.data.arrays import Tokens
from engine.data.specials import PADDING, Specials, specials

BPE_FILE = "tokenizer.json"


class Tokenizer(Protocol):
    specials: Specials

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text, without special ones."""
        ...

    def decode(self, tokens: Iterable[int]) -> str:
        """The text up to the first end token; specials and broken characters never raise."""
        ...


class Bytes:
    """One token a byte of UTF-8."""

    specials = specials("bytes")

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.uint16) for text in texts]

    def decode(self, tokens: Iterable[int]) -> str:
        kept = bytes(token for token in _until(self.specials.end, tokens) if 0 <= token < 0xF8)
        return kept.decode(errors="replace")


class Bpe:
    """Byte-level BPE (Sennrich et al., arXiv 1508.07909; byte alphabet as in GPT-2)."""

    specials = specials("bpe")

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        assert tokenizer.token_to_id("\u0100") == self.specials.end, "the alphabet is not in GPT-2's order"
        assert tokenizer.token_to_id("\u00ff") == self.specials.mask

    @classmethod
    def trained(cls, texts: Iterable[str], vocab_size: int) -> Bpe:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @classmethod
    def loaded(cls, folder: Path) -> Bpe:
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_file(str(folder / BPE_FILE)))

    def save(self, folder: Path) -> None:
        self._tokenizer.save(str(folder / BPE_FILE))

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.uint16) for encoding in encodings]

    def decode(self, tokens: Iterable[int]) -> str:
        special = {PADDING, self.specials.mask, self.specials.begin, self.specials.separator}
        kept = [token for token in _until(self.specials.end, tokens) if token not in special]
        return str(self._tokenizer.decode(kept))


def tokenizer_in(folder: Path, kind: Literal["bytes", "bpe"]) -> Tokenizer:
    """The tokenizer that a prepared folder's tokens were made with."""
    return Bytes() if kind == "bytes" else Bpe.loaded(folder)


def _until(end: int, tokens: Iterable[int]) -> Iterable[int]:
    for token in tokens:
        if token == end:
            return
        yield int(token)
