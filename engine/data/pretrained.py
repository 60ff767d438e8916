"""Published tokenizers: tokenizer.json of any kind, SentencePiece models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.data.arrays import Tokens, token_type
from engine.data.encodings import Encoding, encode_around, spans_of_bytes
from engine.data.special_tokens import NO_TOKEN, SpecialTokens
from engine.data.tokenizer_files import TokenizerError, TokenizerFiles, find_files

# End of a text, where no file says which token it is.
KNOWN_ENDS = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[SEP]", "<|end|>", "<EOS>")
NEWLINES = ("\n", "Ċ", "<0x0A>")  # one token for a newline, in the alphabets of the usual kinds


class _Engine(Protocol):
    """What both libraries do."""

    size: int

    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...

    def encode_spans(self, text: str) -> Encoding: ...

    def token_id(self, text: str) -> int | None: ...

    def decode(self, ids: list[int], with_special: bool = False) -> str: ...


class PretrainedTokenizer:
    """A published tokenizer with its own special tokens and chat template."""

    def __init__(self, files: TokenizerFiles) -> None:
        """Raises TokenizerError."""
        self.files = files
        self._engine: _Engine = (
            _SentencePiece(files) if files.is_sentencepiece else _FastTokenizer(files.vocabulary)
        )
        self.size = self._engine.size
        self._type = token_type(self.size)
        self.special_texts = files.special
        self.chat_template = files.chat_template
        self.specials = self._find_specials()

    @classmethod
    def load(cls, path: Path) -> PretrainedTokenizer:
        """Load the tokenizer of a folder or file. Raises TokenizerError and OSError."""
        return cls(find_files(path))

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        return [np.array(ids, self._type) for ids in self._engine.encode(texts)]

    def encode_spans(self, text: str) -> Encoding:
        """Encode a rendered chat, in which special tokens are written as text."""
        return self._engine.encode_spans(text)

    def decode(self, tokens: Iterable[int]) -> str:
        kept: list[int] = []
        for token in map(int, tokens):
            if token == self.specials.end:
                break
            if 0 <= token < self.size:
                kept.append(token)
        return self._engine.decode(kept)

    def show(self, ids: Sequence[int]) -> str:
        """Return the text of ids with special tokens in it."""
        return self._engine.decode([number for number in ids if 0 <= number < self.size], with_special=True)

    def token_id(self, text: str) -> int | None:
        return self._engine.token_id(text)

    def _find_specials(self) -> SpecialTokens:
        """Raises TokenizerError if no token ends a text."""
        ids = {role: self.token_id(text) for role, text in self.special_texts.items()}
        end = _first(ids.get("eos_token"), self._configured("eos_token_id"), ids.get("sep_token"))
        end = _first(end, *map(self.token_id, KNOWN_ENDS))
        if end is None:
            raise TokenizerError("no token ends a text; name the eos_token in its tokenizer_config.json")
        begin = _first(
            self._configured("decoder_start_token_id"), ids.get("cls_token"), ids.get("bos_token"),
            self._configured("bos_token_id"), end,
        )  # fmt: skip
        separator = _first(ids.get("sep_token"), *map(self.token_id, NEWLINES), end)
        mask = ids.get("mask_token")
        assert begin is not None and separator is not None
        return SpecialTokens(NO_TOKEN if mask is None else mask, begin, separator, end)

    def _configured(self, field: str) -> int | None:
        number = self.files.config.get(field)
        return number if isinstance(number, int) and 0 <= number < self.size else None


class _FastTokenizer:
    """A tokenizer.json."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise TokenizerError(f"{path.name} cannot be read: {error}") from None
        # A published file may cut or fill texts to the length of its model.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.size = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_spans(self, text: str) -> Encoding:
        found = self._tokenizer.encode(text, add_special_tokens=False)
        return Encoding(found.ids, found.offsets)

    def token_id(self, text: str) -> int | None:
        number: int | None = self._tokenizer.token_to_id(text)
        return number

    def decode(self, ids: list[int], with_special: bool = False) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=not with_special))


class _SentencePiece:
    """A SentencePiece model with the tokens that its folder adds."""

    def __init__(self, files: TokenizerFiles) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError:
            raise TokenizerError(
                "SentencePiece models need the package sentencepiece, or a tokenizer.json"
            ) from None
        try:
            self._model = SentencePieceProcessor(model_proto=files.vocabulary.read_bytes())
        except (RuntimeError, OSError):
            raise TokenizerError(f"{files.vocabulary.name} is not a SentencePiece model") from None
        pieces = self._model.get_piece_size()
        control = [number for number in range(pieces) if self._model.is_control(number)]
        self._added = {self._model.id_to_piece(number): number for number in control} | files.added
        self._texts = {number: text for text, number in files.added.items() if number >= pieces}
        self.size = max([pieces, *(number + 1 for number in self._added.values())])

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(ids) for ids in self._model.encode(list(texts))]

    def encode_spans(self, text: str) -> Encoding:
        return encode_around(text, self._added, self._encode_piece)

    def _encode_piece(self, text: str) -> Encoding:
        pieces = self._model.encode(text, return_type="proto").pieces
        spans = [(piece.begin, piece.end) for piece in pieces]
        return Encoding([piece.id for piece in pieces], spans_of_bytes(text, spans))

    def token_id(self, text: str) -> int | None:
        if text in self._added:
            return self._added[text]
        number = self._model.piece_to_id(text)
        return number if self._model.id_to_piece(number) == text else None

    def decode(self, ids: list[int], with_special: bool = False) -> str:
        if not with_special:
            return str(self._model.decode([number for number in ids if number not in self._texts]))
        names, shown, part = {number: text for text, number in self._added.items()}, list[str](), list[int]()
        for number in [*ids, None]:
            if number is not None and number not in names:
                part.append(number)
                continue
            shown.append(str(self._model.decode(part)) if part else "")
            shown.append("" if number is None else names[number])
            part = []
        return "".join(shown)


def _first(*numbers: int | None) -> int | None:
    return next((number for number in numbers if number is not None), None)
