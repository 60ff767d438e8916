"""Special ids: padding, ignored targets, mask, begin, separator, end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IGNORED = -100  # target of a padded position; torch's cross_entropy leaves it out
NO_TOKEN = -2  # id of a special token that a published tokenizer does not have
PADDING = -1  # input id of a padded position; outside every vocabulary, so it takes no token's id


@dataclass(frozen=True)
class SpecialTokens:
    """Special token ids of one kind of tokenizer.

    UTF-8 never uses the bytes 0xF8 to 0xFF (RFC 3629), and texts contain no NUL, so the ids of these bytes are free.
    The vocabulary therefore does not grow, and older models and data stay valid.
    """

    mask: int
    begin: int
    separator: int
    end: int


# A byte-level BPE numbers its alphabet in GPT-2's order: printable bytes first, so 0xFF is 187 and NUL is 188.
_BY_TOKENIZER = {
    "bytes": SpecialTokens(mask=0xFF, begin=0xFE, separator=0xFD, end=0),
    "bpe": SpecialTokens(mask=187, begin=186, separator=185, end=188),
}


def special_tokens(tokenizer: Literal["bytes", "bpe"]) -> SpecialTokens:
    """Return the special ids of a tokenizer made here; a published one has its own."""
    return _BY_TOKENIZER[tokenizer]
