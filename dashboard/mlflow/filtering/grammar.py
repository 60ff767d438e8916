"""Grammar of searches (clauses joined by AND) and of orders."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from dashboard.mlflow.errors import MlflowError, invalid
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


class SearchColumn(NamedTuple):
    kind: str  # metric, param, tag, attribute, dataset
    key: str


class SearchClause(NamedTuple):
    column: SearchColumn
    operator: str  # upper case
    value: Value


class SearchToken(NamedTuple):
    kind: str
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words


class Language(NamedTuple):
    """The columns of one kind of object."""

    attributes: dict[str, str]  # MLflow's name -> our name
    numeric: Collection[str]
    kinds: Collection[str]

    def column(self, text: str) -> SearchColumn:
        kind, dot, key = text.partition(".") if not text.startswith("`") else ("", "", text)
        if not dot:
            kind, key = "attribute", kind + key
        key = _bare(key)
        if KINDS.get(kind) not in self.kinds:
            raise invalid(f"Invalid entity type '{kind}'. Valid values are {sorted(self.kinds)}")
        if KINDS[kind] == "attribute":
            if key not in self.attributes:
                raise invalid(
                    f"Invalid attribute key '{key}' specified. Valid keys are '{sorted(self.attributes)}'"
                )
            key = self.attributes[key]
        if KINDS[kind] == "dataset" and key not in ("name", "digest", "context"):
            raise invalid(
                f"Invalid dataset key '{key}' specified. Valid keys are 'name', 'digest', 'context'"
            )
        return SearchColumn(KINDS[kind], key)

    def order(self, text: str) -> tuple[SearchColumn, bool]:
        """The column, and whether the order is ascending."""
        found = ORDER.fullmatch(text)
        if found is None:
            raise invalid(f"Invalid order_by clause '{text}'. Could not be parsed.")
        way = (found["way"] or "asc").lower()
        if way not in ("asc", "desc"):
            raise invalid(f"Invalid ordering key in order_by clause '{text}'.")
        return self.column(found["column"]), way == "asc"

    def orders(self, texts: Sequence[str]) -> dict[SearchColumn, bool]:
        """Each column of an `order_by`, and whether its order is ascending."""
        if broken := ORDER_COLUMNS.error(len(texts)):
            raise invalid(broken)
        columns: dict[SearchColumn, bool] = {}
        for text in texts:
            column, rises = self.order(text)
            if column in columns:
                raise invalid(f"`order_by` contains duplicate fields: {list(texts)}")
            columns[column] = rises
        return columns

    def clauses(self, text: str) -> list[SearchClause]:
        if broken := SEARCH_CHARS.error(len(text)):
            raise invalid(broken)
        return _Reader(self, text).clauses() if text.strip() else []


class _Reader:
    def __init__(self, language: Language, text: str) -> None:
        self.language, self.text = language, text
        self.tokens = _tokens(text)
        self.position = 0

    def clauses(self) -> list[SearchClause]:
        found = [self._clause()]
        while self._peek().kind != "end":
            joint = self._next()
            if not joint.is_word("AND"):
                raise self._wrong(joint, "clauses are joined by AND")
            found.append(self._clause())
            if broken := FILTER_CLAUSES.error(len(found)):
                raise invalid(broken)
        return found

    def _clause(self) -> SearchClause:
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
            raise invalid(f"Invalid comparator '{operator}' not one of '{sorted(allowed)}'")
        if operator.startswith("IS"):
            return SearchClause(column, operator, None)
        if operator.endswith("IN"):
            return SearchClause(column, operator, self._list())
        if is_number:
            return SearchClause(column, operator, self._number(column))
        text = self._text(column)
        if operator.endswith("LIKE") and (broken := PATTERN_CHARS.error(len(text))):
            raise invalid(broken)
        return SearchClause(column, operator, text)

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

    def _number(self, column: SearchColumn) -> float:
        token = self._next()
        if token.kind != "number":
            raise invalid(f"Expected numeric value type for {column.kind} '{column.key}'. Found {token.text}")
        return float(token.text)

    def _text(self, column: SearchColumn) -> str:
        token = self._next()
        if token.kind != "text":
            raise invalid(
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
                raise invalid(broken)
            mark = self._next()
        if mark.text != ")":
            raise self._wrong(mark, "a list in round brackets was expected")
        return tuple(values)

    def _peek(self) -> SearchToken:
        return self.tokens[self.position]

    def _next(self) -> SearchToken:
        token = self.tokens[self.position]
        self.position = min(self.position + 1, len(self.tokens) - 1)
        return token

    def _next_is(self, word: str) -> bool:
        if self._peek().is_word(word):
            self.position += 1
            return True
        return False

    def _wrong(self, token: SearchToken, expected: str) -> MlflowError:
        found = repr(token.text) if token.text else "the end"
        return invalid(
            f"Invalid clause(s) in filter string: {found} at character {token.at + 1}: {expected}."
        )


def _tokens(text: str) -> list[SearchToken]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            place = len(text) - len(text[at:].lstrip())
            raise invalid(
                f"Invalid clause(s) in filter string: {text[place : place + 20]!r} at character {place + 1}."
            )
        kind = str(match.lastgroup)
        found.append(SearchToken(kind, match[kind], match.start(kind)))
        at = match.end()
    return [*found, SearchToken("end", "", len(text))]


def _bare(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "`'\"":
        inside = text[1:-1]
        return inside.replace("''", "'") if text[0] == "'" else inside
    return text
