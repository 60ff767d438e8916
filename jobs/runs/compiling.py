"""Compiler from filter trees to conditions on Run."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from jobs.models import Run, RunMetric, RunParam, RunTag
from jobs.runs import known, values
from jobs.runs.fields import ATTRIBUTES, STATS, Attribute, Field
from jobs.runs.grammar import AllOf, AnyOf, Compare, ComparedName, Condition, Not, Prefixed, Value, Word
from jobs.runs.tokens import FilterError
from jobs.states.jobs import FINAL

LOOKUPS = {"=": "exact", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte", "~": "icontains"}
ORDERED = ("<", "<=", ">", ">=")
IS = {
    "archived": Q(archived_at__isnull=False),
    "live": Q(job__isnull=False) & ~Q(job__state__in=FINAL) | Q(job__isnull=True) & ~Q(state__in=FINAL),
    "child": Q(parent__isnull=False),
    "job": Q(job__isnull=False),
}
PREFIXES = ("tag", "is", "has", "metric", "param", *(name for name in ATTRIBUTES if name != "note"))
EMPTY = "none"


@dataclass(frozen=True)
class Asker:
    """The user, the time, and the runs in which names are looked up."""

    runs: QuerySet[Run]
    username: str
    now: datetime


def attributes_in(condition: Condition) -> set[str]:
    """The attributes that a tree compares; the queryset needs each as an alias `_name`."""
    match condition:
        case AllOf(parts) | AnyOf(parts):
            return set().union(*map(attributes_in, parts))
        case Not(part):
            return attributes_in(part)
        case Compare(name):
            return {name.text} & set(ATTRIBUTES)
        case Prefixed(prefix):
            return {prefix} & set(ATTRIBUTES)
    return set()


def compiled(condition: Condition, asker: Asker) -> Q:
    """Raises FilterError for an unknown name or an unsuitable value."""
    match condition:
        case AllOf(parts):
            return reduce(operator.and_, (compiled(part, asker) for part in parts))
        case AnyOf(parts):
            return reduce(operator.or_, (compiled(part, asker) for part in parts))
        case Not(part):
            return ~compiled(part, asker)
        case Compare():
            return _compare(condition, asker)
        case Prefixed():
            return _prefixed(condition, asker)
        case Word(value):
            return _word(value.text)


def _word(text: str) -> Q:
    return Q(name__icontains=text) | Q(id__startswith=text) | Q(owner__username__icontains=text)


def _compare(found: Compare, asker: Asker) -> Q:
    field = resolved(found.name, asker)
    if field.kind == "attribute":
        return _attribute_condition(ATTRIBUTES[field.key], found, asker)
    if field.kind == "metric":
        return _metric_condition(field, found)
    return _text_condition(RunParam if field.kind == "param" else RunTag, field, found)


def resolved(name: ComparedName, asker: Asker) -> Field:
    """The field of a name: an attribute, else a metric, else a parameter. Raises FilterError with the nearest name."""
    if name.prefix in ("param", "tag"):
        return Field("param" if name.prefix == "param" else "tag", name.text)
    if not name.prefix and name.text in ATTRIBUTES:
        return Field("attribute", name.text)
    kind = "metric" if name.prefix == "metric" else known.find_kind(asker.runs, name.text)
    if kind is None:
        near = known.nearest(asker.runs, name.text)
        hint = f" The nearest is {near}." if near else " For a tag write tag:name."
        raise FilterError(f"No run has a metric or parameter '{name.text}'.{hint}", name.start, name.end)
    return Field("metric", name.text, name.stat or "last") if kind == "metric" else Field("param", name.text)


def _attribute_condition(row: Attribute, found: Compare, asker: Asker) -> Q:
    if found.op == "in":
        return reduce(operator.or_, (_attribute_is(row, "=", value, asker) for value in found.values))
    if found.op in ("!=", "!~"):
        turned = _attribute_is(row, "=" if found.op == "!=" else "~", found.values[0], asker)
        return Q(**{f"_{row.name}__isnull": False}) & ~turned
    return _attribute_is(row, found.op, found.values[0], asker)


def _attribute_is(row: Attribute, op: str, value: Value, asker: Asker) -> Q:
    alias = f"_{row.name}"
    there = Q(**{f"{alias}__isnull": False})  # never NULL, so that `not` matches absent values
    if value.means(EMPTY) and op == "=":
        return ~there | (Q(**{alias: ""}) if row.type == "text" else Q())
    if row.type == "text":
        if op in ORDERED:
            sentence = f"{row.name} is a text; {op} compares numbers. Use = or ~ (contains)."
            raise FilterError(sentence, value.start, value.end)
        text = asker.username if row.name == "owner" and value.means("me") else value.text
        return there & Q(**{f"{alias}__{'iexact' if op == '=' else 'icontains'}": text})
    if op == "~":
        sentence = f"{row.name} is not a text. Use =, <, <=, > or >=."
        raise FilterError(sentence, value.start, value.end)
    right: Any = (
        values.instant(value, asker.now)
        if row.type == "time"
        else values.seconds(value, row.name)
        if row.type == "seconds"
        else values.whole(value, row.name)
        if row.type == "number"
        else values.number(value, row.name)
    )
    return there & Q(**{f"{alias}__{LOOKUPS[op]}": right})


def _metric_condition(field: Field, found: Compare) -> Q:
    column = STATS[field.stat]
    rows = RunMetric.objects.filter(run=OuterRef("pk"), key=field.key)
    if found.op in ("~", "!~"):
        first = found.values[0]
        raise FilterError(
            f"{field.key} is a number, not a text. Use =, <, <=, > or >=.", first.start, first.end
        )
    if found.op == "in":
        return Q(Exists(rows.filter(_metric_in(column, found.values, field))))
    wanted = _metric_is(column, "=" if found.op == "!=" else found.op, found.values[0], field)
    return Q(Exists(rows.exclude(wanted) if found.op == "!=" else rows.filter(wanted)))


def _metric_in(column: str, choices: Sequence[Value], field: Field) -> Q:
    numbers = [values.number(value, field.key) for value in choices if not values.is_nan(value)]
    wanted = Q(**{f"{column}__in": numbers})
    return wanted | Q(**{f"{column}__isnull": True}) if len(numbers) < len(choices) else wanted


def _metric_is(column: str, op: str, value: Value, field: Field) -> Q:
    if values.is_nan(value) and op == "=":
        return Q(**{f"{column}__isnull": True})
    return Q(**{f"{column}__{LOOKUPS[op]}": values.number(value, field.key)})


def _text_condition(model: type[RunParam] | type[RunTag], field: Field, found: Compare) -> Q:
    rows = model.objects.filter(run=OuterRef("pk"), key=field.key)
    if found.op in ("!=", "!~"):
        wanted = _text_is(model, "=" if found.op == "!=" else "~", found.values[0], field)
        return Q(Exists(rows.exclude(wanted)))
    if found.op == "=" and found.values[0].means(EMPTY):
        return ~Q(Exists(rows))
    if found.op == "in":
        return Q(Exists(rows.filter(_text_in(model, found.values))))
    return Q(Exists(rows.filter(_text_is(model, found.op, found.values[0], field))))


def _text_in(model: type[RunParam] | type[RunTag], choices: Sequence[Value]) -> Q:
    """One IN each for texts and numbers: hundreds of ORs are deeper than SQLite reads."""
    wanted = Q(value__in=[value.text for value in choices])
    numbers = [number for value in choices if (number := _number_of(value)) is not None]
    return wanted | Q(number__in=numbers) if model is RunParam and numbers else wanted


def _number_of(value: Value) -> float | None:
    """3e-4 finds 0.0003; None for a text and for NaN."""
    try:
        return None if values.is_nan(value) else float(value.text)
    except ValueError:
        return None


def _text_is(model: type[RunParam] | type[RunTag], op: str, value: Value, field: Field) -> Q:
    if op == "~":
        return Q(value__icontains=value.text)
    if op in ORDERED:
        if model is RunTag:
            sentence = f"The tag {field.key} is a text; {op} compares numbers. Use = or ~ (contains)."
            raise FilterError(sentence, value.start, value.end)
        return Q(**{f"number__{LOOKUPS[op]}": values.number(value, field.key)})
    same, number = Q(value=value.text), _number_of(value) if model is RunParam else None
    return same if number is None else same | Q(number=number)


def _prefixed(found: Prefixed, asker: Asker) -> Q:
    prefix, value = found.prefix, found.value
    if not value.text:
        raise FilterError(f"A value is missing after '{prefix}:'.", found.start, value.end)
    if prefix == "tag":
        return Q(Exists(RunTag.objects.filter(run=OuterRef("pk"), key=value.text)))
    if prefix in ("has", "metric", "param"):
        return _has(prefix, value)
    if prefix == "is":
        return _is(value)
    if prefix in ATTRIBUTES:
        row = ATTRIBUTES[prefix]
        op = "=" if row.is_exact or row.type != "text" else "~"
        return _attribute_is(row, op, value, asker)
    near = difflib.get_close_matches(prefix, PREFIXES, 1, 0.5)
    hint = f"The nearest is {near[0]}:." if near else "Quote the words to search for them in names."
    raise FilterError(f"'{prefix}:' is not a prefix. {hint}", found.start, found.start + len(prefix) + 1)


def _has(prefix: str, value: Value) -> Q:
    kinds = {"has": ("metric", "param"), "metric": ("metric",), "param": ("param",)}[prefix]
    rows = (known.ROWS[kind].objects.filter(run=OuterRef("pk"), key=value.text) for kind in kinds)
    return reduce(operator.or_, (Q(Exists(some)) for some in rows))


def _is(value: Value) -> Q:
    if value.text not in IS:
        raise FilterError(
            f"'is:{value.text}' is unknown. Known: is:{', is:'.join(IS)}.", value.start, value.end
        )
    return IS[value.text]
