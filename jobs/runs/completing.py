"""Completion of a filter while it is typed."""

from __future__ import annotations

from typing import NamedTuple

from jobs.runs import known
from jobs.runs.compiling import IS, Asker, resolved
from jobs.runs.fields import ATTRIBUTES, STATS, Field, quoted
from jobs.runs.grammar import ComparedName
from jobs.runs.tokens import FilterError, FilterToken, tokens

ITEMS_LIMIT = 40
JOINS = (("and", "both"), ("or", "either"))
COMPARISONS = {
    "number": ("<", "<=", ">", ">=", "=", "!="),
    "text": ("=", "!=", "~", "in ("),
    "any": ("=", "!=", "<", "<=", ">", ">=", "~", "in ("),
}


class Item(NamedTuple):
    """`text` replaces what is typed; `kind` and `num_runs` are shown beside it."""

    text: str
    kind: str
    num_runs: int | None = None
    meaning: str = ""


class Completion(NamedTuple):
    start: int  # of the part that an item replaces
    items: list[Item]


def complete(text: str, asker: Asker) -> Completion:
    """`text` is the filter up to the caret."""
    before, part = _split(text)
    start = part.start if part else len(text)
    typed = part.text if part else ""
    if part and part.prefix:
        return Completion(start, _prefixed(part.prefix, typed, asker)[:ITEMS_LIMIT])
    name = _compared(before)
    if name is not None:
        return Completion(start, _values(name, typed, asker)[:ITEMS_LIMIT])
    if before and before[-1].kind == "word" and not typed and _is_name(before):
        return Completion(start, _comparisons(before[-1], asker))
    if _is_complete(before):
        return Completion(
            start,
            [Item(word, "joins", None, meaning) for word, meaning in JOINS if word.startswith(typed.lower())],
        )
    return Completion(start, _names(typed, asker)[:ITEMS_LIMIT])


def _split(text: str) -> tuple[list[FilterToken], FilterToken | None]:
    """The complete tokens, and the word at the end of the text that is still being typed."""
    try:
        found = list(tokens(text))[:-1]
    except FilterError as error:  # within quotes
        found = list(tokens(text[: error.start]))[:-1]
        return found, FilterToken("word", text[error.start + 1 :], error.start, len(text), is_quoted=True)
    if found and found[-1].kind == "word" and found[-1].end == len(text):
        return found[:-1], found[-1]
    return found, None


def _compared(before: list[FilterToken]) -> ComparedName | None:
    """The name whose value is being typed: after `loss <`, or inside `state in (a,`."""
    at = len(before) - 1
    if at >= 0 and before[at].kind == "op":
        return _name_before(before, at)
    while at >= 0 and (before[at].kind == "comma" or (before[at].kind == "word" and before[at].text != "in")):
        at -= 1
    if at >= 1 and before[at].kind == "open" and before[at - 1].text.lower() == "in":
        return _name_before(before, at - 1)
    return None


def _name_before(before: list[FilterToken], at: int) -> ComparedName | None:
    if at < 1:
        return None
    last = before[at - 1]
    if last.kind == "word":
        return ComparedName(last.text, last.start, last.end, last.prefix)
    if last.kind == "close" and at >= 4:
        inner = before[at - 2]
        return ComparedName(inner.text, inner.start, inner.end, "metric", before[at - 4].text.lower())
    return None


def _is_name(before: list[FilterToken]) -> bool:
    """Whether the last word is in the position of a name rather than of a value or search word."""
    last = before[-1]
    if last.text.lower() in ("and", "or", "not") and not last.prefix:
        return False
    return len(before) < 2 or (
        before[-2].kind not in ("op", "comma") and last.prefix in ("", "param", "metric", "tag")
    )


def _is_complete(before: list[FilterToken]) -> bool:
    if not before:
        return False
    last = before[-1]
    return last.kind == "close" or (
        last.kind == "word" and (bool(last.prefix) or (len(before) > 1 and before[-2].kind == "op"))
    )


def _names(part: str, asker: Asker) -> list[Item]:
    lowered = part.lower()
    found = [
        Item(f"{row.name}", "run", None, row.meaning or row.title)
        for row in ATTRIBUTES.values()
        if lowered in row.name
    ]
    for kind in ("metric", "param"):
        found += [Item(quoted(key), kind, n) for key, n in known.keys(asker.runs, kind, part)]
    found += [Item(f"tag:{quoted(key)}", "tag", n) for key, n in known.keys(asker.runs, "tag", part)]
    found += [
        Item(f"{stat}(", "function", None, f"{stat} of a metric")
        for stat in STATS
        if part and stat.startswith(lowered)
    ]
    return sorted(found, key=lambda item: not item.text.removeprefix("tag:").lower().startswith(lowered))


def _comparisons(token: FilterToken, asker: Asker) -> list[Item]:
    try:
        field = resolved(ComparedName(token.text, token.start, token.end, token.prefix), asker)
    except FilterError:
        return []
    if field.kind == "attribute":
        kind = "text" if ATTRIBUTES[field.key].type == "text" else "number"
    else:
        kind = {"metric": "number", "param": "any", "tag": "text"}[field.kind]
    return [Item(op, "compares") for op in COMPARISONS[kind]]


def _values(name: ComparedName, part: str, asker: Asker) -> list[Item]:
    try:
        field = resolved(name, asker)
    except FilterError:
        return []
    if field.is_number or (field.kind == "attribute" and ATTRIBUTES[field.key].type != "text"):
        return []
    own = [Item("me", "value", None, "you")] if field.key == "owner" and "me".startswith(part.lower()) else []
    return own + [Item(quoted(value), "value", n) for value, n in known.values(asker.runs, field, part)]


def _prefixed(prefix: str, part: str, asker: Asker) -> list[Item]:
    """The tags after `tag:`, the states after `state:`, and so on."""
    if prefix == "is":
        return [Item(f"is:{word}", "value") for word in IS if word.startswith(part.lower())]
    kinds = {"has": ("metric", "param"), "tag": ("tag",), "metric": ("metric",), "param": ("param",)}.get(
        prefix
    )
    if kinds:
        return [
            Item(f"{prefix}:{quoted(key)}", kind, n)
            for kind in kinds
            for key, n in known.keys(asker.runs, kind, part)
        ]
    if prefix in ATTRIBUTES and ATTRIBUTES[prefix].type == "text":
        values = known.values(asker.runs, Field("attribute", prefix), part)
        own = (
            [Item("owner:me", "value", None, "you")]
            if prefix == "owner" and "me".startswith(part.lower())
            else []
        )
        return own + [Item(f"{prefix}:{quoted(value)}", "value", n) for value, n in values]
    return []
