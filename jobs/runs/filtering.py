"""Filtering, ordering and paging of runs."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Count, F, FilteredRelation, FloatField, Q, QuerySet, Value, When, Window

from jobs.models import Run
from jobs.runs import known
from jobs.runs.compiling import Asker, attributes_in, compiled
from jobs.runs.fields import ATTRIBUTES, STATS, Field, FieldError, field_from_text
from jobs.runs.grammar import parse

NEWEST_FIRST = ("-created_at", "id")
LARGEST = 1.7976931348623157e308


def filtered(runs: QuerySet[Run], text: str, asker: Asker) -> QuerySet[Run]:
    """The runs that match. Archived runs are left out unless the filter has is:archived. Raises FilterError."""
    condition = parse(text)
    if "is:archived" not in text.lower():
        runs = runs.filter(archived_at__isnull=True)
    if condition is None:
        return runs
    named = {f"_{name}": ATTRIBUTES[name].read for name in sorted(attributes_in(condition))}
    return runs.alias(**named).filter(compiled(condition, asker))


def ordered(runs: QuerySet[Run], field: Field | None, *, is_descending: bool = False) -> QuerySet[Run]:
    """Sorted by one field, newest first among equals; None: newest first. Runs without a value come last in either
    direction, after runs with an infinite value."""
    if field is None:
        return runs.order_by(*NEWEST_FIRST)
    if field.kind == "attribute":
        runs = runs.alias(_sort=ATTRIBUTES[field.key].read)
        return runs.order_by(_placed("_sort", is_descending), *NEWEST_FIRST)
    runs = joined(runs, "_row", field)
    if field.kind == "tag":
        return runs.order_by(_placed("_row__value", is_descending), *NEWEST_FIRST)
    if field.kind == "param":
        by_number, by_text = (_placed(f"_row__{column}", is_descending) for column in ("number", "value"))
        return runs.order_by(by_number, by_text, *NEWEST_FIRST)
    column = f"_row__{STATS[field.stat]}"
    finite = Case(
        When(Q(**{f"{column}__gte": -LARGEST, f"{column}__lte": LARGEST}), then=F(column)),
        default=Value(None),
        output_field=FloatField(),
    )
    return runs.alias(_finite=finite).order_by(
        _placed("_finite", is_descending), _placed(column, is_descending), *NEWEST_FIRST
    )


def order_from_text(text: str, asker: Asker) -> tuple[Field | None, bool]:
    """The field of `loss`, `-last(loss)` or `-created`, and whether it descends. Raises FieldError."""
    name = text.removeprefix("-")
    if not name:
        return None, False
    try:
        return field_from_text(name), text.startswith("-")
    except FieldError:
        kind = known.find_kind(asker.runs, name)
        if kind is None:
            raise
        return Field("metric", name, "last") if kind == "metric" else Field("param", name), text.startswith(
            "-"
        )


def page_of(runs: QuerySet[Run], first: int, count: int, *, is_narrowed: bool) -> tuple[list[str], int]:
    """The ids of one page in order, and the number of all runs. With a filter, one statement also counts the runs: it
    is cheaper than running the filter twice, because sorting by a field reads all of them anyway. Without a filter the
    window takes 4 of 20 ms for 10,000 runs (SQLite), a separate count 0.6."""
    if not is_narrowed or runs.query.order_by == NEWEST_FIRST:
        return list(runs.values_list("id", flat=True)[first : first + count]), runs.count()
    rows = list(runs.values_list("id", Window(Count("*")))[first : first + count])
    if not rows and first:
        return [], runs.count()
    return [run_id for run_id, _ in rows], rows[0][1] if rows else 0


def joined(runs: QuerySet[Run], alias: str, field: Field) -> QuerySet[Run]:
    """Runs joined with their row of a metric, parameter or tag."""
    relation = {"metric": "metrics", "param": "params", "tag": "tags"}[field.kind]
    return runs.alias(**{alias: FilteredRelation(relation, condition=Q(**{f"{relation}__key": field.key}))})


def _placed(name: str, is_descending: bool) -> Any:
    return F(name).desc(nulls_last=True) if is_descending else F(name).asc(nulls_last=True)
