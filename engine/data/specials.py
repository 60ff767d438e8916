"""Numbers that stand for no token of a text: padding, ignored targets, and the ids of mask, begin, separator, end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IGNORED = -100  # target of a padded position; torch's cross_entropy leaves it out
PADDING = -1  # in inputs: no token stands here; an id of no vocabulary, so that none is used up


@dataclass(frozen=True)
class Specials:
    """Ids of one kind of tokenizer. UTF-8 never uses the bytes 0xF8 to 0xFF (RFC 3629), and no text holds NUL, so
    their ids are free: no vocabulary grows, and models and data from before these objectives stay what they were."""

    mask: int
    begin: int
    separator: int
    end: int


# A byte-level BPE counts its alphabet in GPT-2's order: printable bytes first, so 0xFF is 187 and NUL is 188.
_OF = {
    "bytes": Specials(mask=0xFF, begin=0xFE, separator=0xFD, end=0),
    "bpe": Specials(mask=187, begin=186, separator=185, end=188),
}


def specials(tokenizer: Literal["bytes", "bpe"]) -> Specials:
    """The special ids of every tokenizer of this kind."""
    return _OF[tokenizer]
