"""A filter's text as tokens that know where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

PATTERN = re.compile(
    r"""(?P<space>\s+)
      | (?P<open>\() | (?P<close>\)) | (?P<comma>,)
      | (?P<op><=|>=|!=|==|!~|<|>|=|~)
      | (?P<quoted>(?:[A-Za-z]+:)?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))
      | (?P<word>[^\s()<>=!~,"']+)""",
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(.)")


class FilterError(ValueError):
    """A filter that cannot be understood: a sentence, and the part of the text that it is about."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = max(end, start + 1)


class Token(NamedTuple):
    kind: str  # open, close, comma, op, word, end
    text: str  # without quotes
    start: int
    end: int
    prefix: str = ""  # of tag:baseline or metric:"train/loss"
    is_quoted: bool = False


def tokens(text: str) -> Iterator[Token]:
    """Ends with a token of kind 'end'. Raises FilterError at a quote that is not closed, or a lone '!'."""
    at = 0
    while at < len(text):
        found = PATTERN.match(text, at)
        if found is None:
            raise FilterError(_complaint(text[at]), at, len(text))
        kind = found.lastgroup or ""
        if kind == "word":
            yield _word(found.group(), at, found.end())
        elif kind == "quoted":
            yield _quoted(found.group(), at, found.end())
        elif kind != "space":
            said = "=" if found.group() == "==" else found.group()
            yield Token(kind, said, at, found.end())
        at = found.end()
    yield Token("end", "", len(text), len(text))


def _complaint(character: str) -> str:
    if character == "!":
        return "A '!' stands alone here. Write != or !~, or the word not."
    return f"This {character} opens a quotation that is not closed."


def _word(said: str, start: int, end: int) -> Token:
    prefix, colon, rest = said.partition(":")
    if colon and prefix.isalpha():
        return Token("word", rest, start, end, prefix.lower())
    return Token("word", said, start, end)


def _quoted(said: str, start: int, end: int) -> Token:
    quote = min(said.find(mark) for mark in "\"'" if mark in said)
    return Token(
        "word", ESCAPE.sub(r"\1", said[quote + 1 : -1]), start, end, said[:quote].rstrip(":").lower(), True
    )
