"""The grammar of a search: clauses joined by AND, and of an order: a column and a direction."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from dashboard.mlflow.errors import Refused, bad
from engine.request_limits import FILTER_CLAUSES, ORDER_COLUMNS, PATTERN_CHARS, SEARCH_CHARS, SEARCH_VALUES

Value = str | float | tuple[str, ...] | None

KINDS = {
    "metric": "metric", "metrics": "metric", "param": "param", "params": "param", "parameter": "param",
    "parameters": "param", "tag": "tag", "tags": "tag", "attribute": "attribute", "attributes": "attribute",
    "attr": "attribute", "run": "attribute", "dataset": "dataset", "datasets": "dataset",
}  # fmt: skip
NUMBERS, TEXTS = {"=", "!=", "<", "<=", ">", ">="}, {"=", "!=", "LIKE", "ILIKE"}
OPERATORS = {
    "metric": NUMBERS,
    "number": NUMBERS,  # of an attribute
    "param": TEXTS | {"IS NULL", "IS NOT NULL"},
    "tag": TEXTS | {"IS NULL", "IS NOT NULL"},
    "attribute": TEXTS | {"IN", "NOT IN"},
    "dataset": TEXTS | {"IN", "NOT IN"},
}

TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*'|"[^"]*")
    | (?P<number>[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?(?![\w.]))
    | (?P<operator><=|>=|!=|<|>|==|=)
    | (?P<mark>[(),])
    | (?P<word>(?:`[^`]+`|[A-Za-z_]\w*)(?:\.(?:`[^`]*`|"[^"]*"|'[^']*'|[\w./:\-]+))?)
    )""",
    re.VERBOSE,
)
ORDER = re.compile(
    r"""\s*(?P<column>(?:`[^`]+`|\w+)(?:\.(?:`[^`]*`|"[^"]*"|'[^']*'|[^\s`"']+))?)(?:\s+(?P<way>\w+))?\s*""",
    re.VERBOSE,
)


class Column(NamedTuple):
    kind: str  # metric, param, tag, attribute, dataset
    key: str


class Clause(NamedTuple):
    column: Column
    operator: str  # upper case
    value: Value


class Token(NamedTuple):
    kind: str
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words


class Language(NamedTuple):
    """What may be asked of one kind of thing."""

    attributes: dict[str, str]  # as asked -> as it is called here
    numeric: Collection[str]
    kinds: Collection[str]

    def column(self, said: str) -> Column:
        kind, dot, key = said.partition(".") if not said.startswith("`") else ("", "", said)
        if not dot:
            kind, key = "attribute", kind + key
        key = _bare(key)
        if KINDS.get(kind) not in self.kinds:
            raise bad(f"Invalid entity type '{kind}'. Valid values are {sorted(self.kinds)}")
        if KINDS[kind] == "attribute":
            if key not in self.attributes:
                raise bad(
                    f"Invalid attribute key '{key}' specified. Valid keys are '{sorted(self.attributes)}'"
                )
            key = self.attributes[key]
        if KINDS[kind] == "dataset" and key not in ("name", "digest", "context"):
            raise bad(f"Invalid dataset key '{key}' specified. Valid keys are 'name', 'digest', 'context'")
        return Column(KINDS[kind], key)

    def order(self, said: str) -> tuple[Column, bool]:
        """The column, and whether it rises."""
        found = ORDER.fullmatch(said)
        if found is None:
            raise bad(f"Invalid order_by clause '{said}'. Could not be parsed.")
        way = (found["way"] or "asc").lower()
        if way not in ("asc", "desc"):
            raise bad(f"Invalid ordering key in order_by clause '{said}'.")
        return self.column(found["column"]), way == "asc"

    def orders(self, texts: Sequence[str]) -> dict[Column, bool]:
        """Each column of an `order_by`, and whether it rises."""
        if broken := ORDER_COLUMNS.error(len(texts)):
            raise bad(broken)
        columns: dict[Column, bool] = {}
        for text in texts:
            column, rises = self.order(text)
            if column in columns:
                raise bad(f"`order_by` contains duplicate fields: {list(texts)}")
            columns[column] = rises
        return columns

    def clauses(self, said: str) -> list[Clause]:
        if broken := SEARCH_CHARS.error(len(said)):
            raise bad(broken)
        return _Reader(self, said).clauses() if said.strip() else []


class _Reader:
    def __init__(self, language: Language, said: str) -> None:
        self.language, self.said = language, said
        self.tokens = _tokens(said)
        self.position = 0

    def clauses(self) -> list[Clause]:
        found = [self._clause()]
        while self._peek().kind != "end":
            joint = self._next()
            if not joint.is_word("AND"):
                raise self._wrong(joint, "clauses are joined by AND")
            found.append(self._clause())
            if broken := FILTER_CLAUSES.error(len(found)):
                raise bad(broken)
        return found

    def _clause(self) -> Clause:
        word = self._next()
        if word.kind != "word":
            raise self._wrong(word, "a column such as metrics.loss was expected")
        column = self.language.column(word.text)
        operator = self._operator()
        is_number = column.kind == "metric" or (
            column.key in self.language.numeric and column.kind == "attribute"
        )
        allowed = OPERATORS["number" if is_number else column.kind]
        if operator not in allowed:
            raise bad(f"Invalid comparator '{operator}' not one of '{sorted(allowed)}'")
        if operator.startswith("IS"):
            return Clause(column, operator, None)
        if operator.endswith("IN"):
            return Clause(column, operator, self._list())
        if is_number:
            return Clause(column, operator, self._number(column))
        text = self._text(column)
        if operator.endswith("LIKE") and (broken := PATTERN_CHARS.error(len(text))):
            raise bad(broken)
        return Clause(column, operator, text)

    def _operator(self) -> str:
        first = self._next()
        if first.kind == "operator":
            return first.text
        if first.is_word("NOT") and self._next_is("IN"):
            return "NOT IN"
        if first.is_word("IS"):
            middle = "NOT " if self._next_is("NOT") else ""
            if self._next_is("NULL"):
                return f"IS {middle}NULL"
        if first.is_word("LIKE", "ILIKE", "IN"):
            return first.text.upper()
        raise self._wrong(first, "a comparison such as = or LIKE was expected")

    def _number(self, column: Column) -> float:
        token = self._next()
        if token.kind != "number":
            raise bad(f"Expected numeric value type for {column.kind} '{column.key}'. Found {token.text}")
        return float(token.text)

    def _text(self, column: Column) -> str:
        token = self._next()
        if token.kind != "text":
            raise bad(
                f"Expected a quoted string value for {column.kind} '{column.key}' (e.g. 'my-value'). "
                f"Got value {token.text}"
            )
        return _bare(token.text)

    def _list(self) -> tuple[str, ...]:
        values = []
        mark = self._next()
        while mark.text in ("(", ","):
            token = self._next()
            if token.kind != "text":
                raise self._wrong(token, "a quoted string was expected in the list")
            values.append(_bare(token.text))
            if broken := SEARCH_VALUES.error(len(values)):
                raise bad(broken)
            mark = self._next()
        if mark.text != ")":
            raise self._wrong(mark, "a list in round brackets was expected")
        return tuple(values)

    def _peek(self) -> Token:
        return self.tokens[self.position]

    def _next(self) -> Token:
        token = self.tokens[self.position]
        self.position = min(self.position + 1, len(self.tokens) - 1)
        return token

    def _next_is(self, word: str) -> bool:
        if self._peek().is_word(word):
            self.position += 1
            return True
        return False

    def _wrong(self, token: Token, expected: str) -> Refused:
        found = repr(token.text) if token.text else "the end"
        return bad(f"Invalid clause(s) in filter string: {found} at character {token.at + 1}: {expected}.")


def _tokens(said: str) -> list[Token]:
    found, at, end = [], 0, len(said.rstrip())
    while at < end:
        match = TOKEN.match(said, at)
        if match is None:
            place = len(said) - len(said[at:].lstrip())
            raise bad(
                f"Invalid clause(s) in filter string: {said[place : place + 20]!r} at character {place + 1}."
            )
        kind = str(match.lastgroup)
        found.append(Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return [*found, Token("end", "", len(said))]


def _bare(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "`'\"":
        inside = text[1:-1]
        return inside.replace("''", "'") if text[0] == "'" else inside
    return text
