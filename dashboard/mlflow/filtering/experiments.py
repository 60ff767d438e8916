"""Search for experiments.

The default experiment has no row, so its filter is evaluated here in Python.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import F, Q, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from dashboard.mlflow.filtering import like
from dashboard.mlflow.filtering.grammar import Language, SearchClause
from dashboard.mlflow.filtering.runs import LOOKUPS
from dashboard.mlflow.vocabulary import millis, moment
from jobs.models import Project, Team

ID = "search_id"
LANGUAGE = Language(
    attributes={
        "name": "name", "experiment_id": ID, "creation_time": "created_at", "last_update_time": "updated_at",
    },
    numeric=("created_at", "updated_at"),
    kinds=("tag", "attribute"),
)  # fmt: skip


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "LIKE": like.is_like, "ILIKE": like.is_ilike, "IN": lambda one, all: one in all,
    "NOT IN": lambda one, all: one not in all,
}  # fmt: skip


def apply(
    found: QuerySet[Project], text: str, order_by: Sequence[str], team: Team
) -> tuple[QuerySet[Project], bool]:
    """The projects in order, and whether the default experiment matches."""
    clauses = LANGUAGE.clauses(text)
    found = found.alias(**{ID: Cast("id", TextField())})
    for clause in clauses:
        found = _filtered(found, clause)
    terms = []
    for column, rises in LANGUAGE.orders(order_by).items():
        field = F("id" if column.key == ID else column.key)
        terms.append(field.asc() if rises else field.desc())
    return found.order_by(*terms, "-created_at", "id"), all(
        _matches_default(clause, team) for clause in clauses
    )


def _filtered(found: QuerySet[Project], clause: SearchClause) -> QuerySet[Project]:
    field, value = clause.column.key, clause.value
    if clause.column.kind == "tag":
        if clause.operator.startswith("IS"):
            has = Q(tags__has_key=field)
            return found.filter(has if clause.operator == "IS NOT NULL" else ~has)
        found, field = found.alias(search_tag=_tag(field)), "search_tag"
        found = found.filter(search_tag__isnull=False)
    elif field in LANGUAGE.numeric and isinstance(value, float):
        value = moment(value, field)  # type: ignore[assignment]
    if clause.operator in ("!=", "NOT IN"):
        return found.exclude(**{f"{field}__{'exact' if clause.operator == '!=' else 'in'}": value})
    return found.filter(**{f"{field}__{LOOKUPS[clause.operator]}": value})


def _tag(key: str) -> Cast:
    """A tag as a text: lookups of a JSON key would parse the compared value as JSON."""
    return Cast(KeyTextTransform(key, "tags"), TextField())


def _matches_default(clause: SearchClause, team: Team) -> bool:
    if clause.column.kind == "tag":
        return clause.operator == "IS NULL"
    made = millis(team.created_at)
    has = {"name": "Default", ID: "0", "created_at": made, "updated_at": made}
    return COMPARISONS[clause.operator](has[clause.column.key], clause.value)
