"""Tokenizers: round trip of texts, special ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.special_tokens import PADDING, special_tokens
from engine.data.tokenizers import BpeTokenizer, ByteTokenizer, Tokenizer, load_tokenizer

TEXTS = ["über alles", "the cat sat on the mat " * 20, "日本語", "tab\tand\nline"]


@pytest.fixture(params=["bytes", "bpe"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    if request.param == "bytes":
        return load_tokenizer(tmp_path, "bytes")
    BpeTokenizer.train(TEXTS, 300).save(tmp_path)
    return load_tokenizer(tmp_path, "bpe")


def test_decoding_reverses_encoding(tokenizer: Tokenizer) -> None:
    for text, tokens in zip(TEXTS, tokenizer.encode(TEXTS), strict=True):
        assert tokenizer.decode(tokens) == text


def test_no_text_uses_a_special_id(tokenizer: Tokenizer) -> None:
    every_character = "".join(map(chr, [*range(1, 0xD800), *range(0xE000, 0x20000), 0x10FFFF]))
    [tokens] = tokenizer.encode([every_character])
    used, special = set(tokens.tolist()), tokenizer.specials
    assert not used & {special.mask, special.begin, special.separator, special.end}


def test_decoding_stops_at_the_end_token_and_never_raises(tokenizer: Tokenizer) -> None:
    special = tokenizer.specials
    [tokens] = tokenizer.encode(["word"])
    assert tokenizer.decode([special.begin, *tokens, PADDING, special.mask, special.end, *tokens]) == "word"
    assert "\ufffd" in tokenizer.decode(
        ByteTokenizer().encode(["ü"])[0][:1]
    ) or tokenizer.specials != special_tokens("bytes")
