"""Grammar of the filter language: text to tree, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.request_limits import FILTER_CHARS, FILTER_CLAUSES, FILTER_DEPTH, FILTER_VALUES
from jobs.runs.fields import STATS
from jobs.runs.tokens import FilterError, FilterToken, tokens

__all__ = [
    "AllOf",
    "AnyOf",
    "Compare",
    "ComparedName",
    "Condition",
    "FilterError",
    "Not",
    "Prefixed",
    "Value",
    "Word",
    "parse",
]
ORDERED = ("<", "<=", ">", ">=")


class Value(NamedTuple):
    text: str
    start: int
    end: int
    is_quoted: bool = False

    def means(self, word: str) -> bool:
        """Whether it is this word of the language, such as none; a quoted value is only a text."""
        return not self.is_quoted and self.text.lower() == word


class ComparedName(NamedTuple):
    """The left side of a comparison: `loss`, `param:lr`, `min(loss)`."""

    text: str
    start: int
    end: int
    prefix: str = ""  # metric, param, tag
    stat: str = ""  # of min(...), a key of STATS


@dataclass(frozen=True)
class AllOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    part: Condition


@dataclass(frozen=True)
class Compare:
    """`name op value`; several values with op 'in'."""

    name: ComparedName
    op: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Prefixed:
    """`state:running`, `tag:baseline`."""

    prefix: str
    value: Value
    start: int


@dataclass(frozen=True)
class Word:
    """A bare word, searched for in names."""

    value: Value


Condition = AllOf | AnyOf | Not | Compare | Prefixed | Word


def parse(text: str) -> Condition | None:
    """None for an empty filter. Raises FilterError, which points into the text."""
    if broken := FILTER_CHARS.error(len(text)):
        raise FilterError(broken, FILTER_CHARS, len(text))
    parser = Parser(list(tokens(text)))
    if parser.here.kind == "end":
        return None
    found = parser.either(0)
    if parser.here.kind == "close":
        raise parser.error("This ')' has no '('.")
    if parser.here.kind != "end":
        raise parser.error(
            f"'{parser.here.text}' is not expected here. Join two conditions by and, or, or a space."
        )
    return found


class Parser:
    """Recursive descent: or < and < not < condition."""

    def __init__(self, found: list[FilterToken]) -> None:
        self.tokens = found
        self.at = 0
        self.num_conditions = 0

    @property
    def here(self) -> FilterToken:
        return self.tokens[self.at]

    @property
    def next(self) -> FilterToken:
        return self.tokens[min(self.at + 1, len(self.tokens) - 1)]

    def take(self) -> FilterToken:
        token = self.here
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def error(self, message: str, token: FilterToken | None = None) -> FilterError:
        token = token or self.here
        return FilterError(message, token.start, token.end)

    def is_word(self, *words: str) -> bool:
        """Whether the token is one of these keywords; before a comparison it is an ordinary name."""
        token = self.here
        is_own = (
            token.kind == "word" and not token.is_quoted and not token.prefix and token.text.lower() in words
        )
        return is_own and self.next.kind != "op"

    def either(self, depth: int) -> Condition:
        parts = [self.every(depth)]
        while self.is_word("or"):
            self.take()
            parts.append(self.every(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def every(self, depth: int) -> Condition:
        parts = [self.one(depth)]
        while self.here.kind in ("word", "open") and not self.is_word("or"):
            if self.is_word("and"):
                self.take()
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def one(self, depth: int) -> Condition:
        if broken := FILTER_DEPTH.error(depth):
            raise self.error(broken)
        if self.is_word("not"):
            self.take()
            return Not(self.one(depth + 1))
        if self.here.kind == "open":
            return self.inside(depth)
        if self.is_word("and", "or"):
            raise self.error(f"A condition is missing before this '{self.here.text}'.")
        if self.here.kind == "end":
            raise self.error("A condition is missing here, such as loss < 2.")
        if self.here.kind != "word":
            raise self.error(f"A name is missing before this '{self.here.text}', such as loss.")
        return self.condition()

    def inside(self, depth: int) -> Condition:
        opened = self.take()
        found = self.either(depth + 1)
        if self.here.kind != "close":
            raise self.error("This '(' has no ')'.", opened)
        self.take()
        return found

    def condition(self) -> Condition:
        token = self.here
        self.num_conditions += 1
        if broken := FILTER_CLAUSES.error(self.num_conditions):
            raise self.error(broken)
        if not token.prefix and token.text.lower() in STATS and self.next.kind == "open":
            return self.comparison(self.function())
        self.take()
        is_compared = self.here.kind == "op" or self.is_in()
        if is_compared and token.prefix in ("", "metric", "param", "tag"):
            return self.comparison(ComparedName(token.text, token.start, token.end, token.prefix))
        value = Value(
            token.text,
            token.start + (len(token.prefix) + 1 if token.prefix else 0),
            token.end,
            token.is_quoted,
        )
        if is_compared:
            raise self.error(
                f"'{token.prefix}:' takes one value. Write {token.prefix} {self.here.text} ... instead."
            )
        return Prefixed(token.prefix, value, token.start) if token.prefix else Word(value)

    def is_in(self) -> bool:
        is_negated = self.is_word("not") and self.next.text.lower() == "in"
        after = self.tokens[min(self.at + (2 if is_negated else 1), len(self.tokens) - 1)]
        return (is_negated or self.is_word("in")) and after.kind == "open"

    def function(self) -> ComparedName:
        stat, _, inner = self.take(), self.take(), self.take()
        if inner.kind != "word" or inner.prefix not in ("", "metric"):
            raise self.error(f"{stat.text}() takes the name of a metric, such as {stat.text}(loss).", inner)
        if self.here.kind != "close":
            raise self.error(f"A ')' is missing after {stat.text}({inner.text}.")
        closed = self.take()
        if self.here.kind != "op" and not self.is_in():
            raise self.error(f"{stat.text}({inner.text}) needs a comparison, such as < 2.")
        return ComparedName(inner.text, stat.start, closed.end, "metric", stat.text.lower())

    def comparison(self, name: ComparedName) -> Condition:
        if self.here.kind == "op":
            op = self.take().text
            return Compare(name, op, (self.value(f"A value is missing after this '{op}'."),))
        is_negated = self.is_word("not")
        for _ in range(2 if is_negated else 1):
            self.take()
        opened = self.take()
        values = [self.value("A value is missing here.")]
        while self.here.kind == "comma":
            self.take()
            values.append(self.value("A value is missing after this ','."))
            if broken := FILTER_VALUES.error(len(values)):
                raise self.error(broken)
        if self.here.kind != "close":
            raise self.error("This list of values has no ')'.", opened)
        self.take()
        found = Compare(name, "in", tuple(values))
        return Not(found) if is_negated else found

    def value(self, message: str) -> Value:
        token = self.here
        if token.kind != "word":
            before = self.tokens[self.at - 1]
            raise self.error(message, before if token.kind == "end" else token)
        self.take()
        text = f"{token.prefix}:{token.text}" if token.prefix else token.text
        return Value(text, token.start, token.end, token.is_quoted)
