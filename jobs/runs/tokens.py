"""Tokens of a filter with their positions."""

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
    """An invalid filter: a sentence and the part of the text that it concerns."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = max(end, start + 1)


class FilterToken(NamedTuple):
    kind: str  # open, close, comma, op, word, end
    text: str  # without quotes
    start: int
    end: int
    prefix: str = ""  # of tag:baseline or metric:"train/loss"
    is_quoted: bool = False


def tokens(text: str) -> Iterator[FilterToken]:
    """Ends with a token of kind 'end'. Raises FilterError for an unclosed quote or a lone '!'."""
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
            operator = "=" if found.group() == "==" else found.group()
            yield FilterToken(kind, operator, at, found.end())
        at = found.end()
    yield FilterToken("end", "", len(text), len(text))


def _complaint(character: str) -> str:
    if character == "!":
        return "This '!' is alone. Write != or !~, or the word not."
    return f"This {character} opens a quotation that is never closed."


def _word(text: str, start: int, end: int) -> FilterToken:
    prefix, colon, rest = text.partition(":")
    if colon and prefix.isalpha():
        return FilterToken("word", rest, start, end, prefix.lower())
    return FilterToken("word", text, start, end)


def _quoted(text: str, start: int, end: int) -> FilterToken:
    quote = min(text.find(mark) for mark in "\"'" if mark in text)
    return FilterToken(
        "word", ESCAPE.sub(r"\1", text[quote + 1 : -1]), start, end, text[:quote].rstrip(":").lower(), True
    )
