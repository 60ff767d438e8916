"""Search for runs: clauses become conditions, most with EXISTS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Case, Exists, F, FilteredRelation, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, Concat

from dashboard.mlflow.endpoints import DEFAULT
from dashboard.mlflow.errors import invalid
from dashboard.mlflow.filtering import like
from dashboard.mlflow.filtering.grammar import Language, SearchClause, SearchColumn
from dashboard.mlflow.vocabulary import STATUSES, TAG_COLUMNS, moment
from jobs.models import Run, RunInput, RunMetric, RunParam, RunTag

START, END, STATUS, URI = "search_start", "search_end", "search_status", "search_uri"
LANGUAGE = Language(
    attributes={
        "run_id": "id", "run_name": "name", "run name": "name", "Run name": "name", "Run Name": "name",
        "user_id": "owner__username", "status": STATUS, "artifact_uri": URI,
        "start_time": START, "created": START, "Created": START, "end_time": END,
    },
    numeric=(START, END),
    kinds=("metric", "param", "tag", "attribute", "dataset"),
)  # fmt: skip
LOOKUPS = {
    "=": "exact", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte", "LIKE": like.Like.lookup_name,
    "ILIKE": like.ILike.lookup_name, "IN": "in",
}  # fmt: skip
_OF_JOB = Q(job__isnull=False)
EXPRESSIONS: dict[str, Any] = {
    START: Coalesce(Case(When(_OF_JOB, then=F("job__started_at")), default=F("started_at")), F("created_at")),
    END: Case(When(_OF_JOB, then=F("job__ended_at")), default=F("ended_at")),
    STATUS: Case(
        *[
            When(Q(job__state=state) | Q(job__isnull=True, state=state), then=Value(status))
            for state, status in STATUSES.items()
        ],
        output_field=TextField(),
    ),
    URI: Concat(
        Value("mlflow-artifacts:/"),
        Coalesce(Cast("project_id", TextField()), Value(DEFAULT), output_field=TextField()),
        Value("/"),
        Cast("id", TextField()),
        Value("/artifacts"),
        output_field=TextField(),
    ),
}
ROWS = {"metric": ("metrics", "last"), "param": ("params", "value"), "tag": ("tags", "value")}


def in_experiments(found: QuerySet[Run], projects: Iterable[int | None]) -> QuerySet[Run]:
    """Runs of these projects; None stands for the team's default."""
    numbers = set(projects)
    inside = Q(project_id__in=[number for number in numbers if number is not None])
    return found.filter(inside | Q(project__isnull=True) if None in numbers else inside)


def filtered(found: QuerySet[Run], text: str) -> QuerySet[Run]:
    """Raises MlflowError for an invalid filter."""
    for clause in LANGUAGE.clauses(text):
        found = _needed(found, clause.column).filter(_condition(clause))
    return found


def ordered(found: QuerySet[Run], order_by: Sequence[str]) -> QuerySet[Run]:
    """Sorted by these columns, then newest first. NaN comes after numbers, runs without a value last. Raises
    MlflowError."""
    terms: list[Any] = []
    for number, (column, rises) in enumerate(LANGUAGE.orders(order_by).items()):
        found = _needed(found, column)
        if column.kind == "attribute" or (column.key in TAG_COLUMNS and column.kind == "tag"):
            value = F(TAG_COLUMNS.get(column.key, column.key))
        elif column.kind in ROWS:
            rows, field = ROWS[column.kind]
            name = f"order_{number}"
            found = found.annotate(
                **{name: FilteredRelation(rows, condition=Q(**{f"{rows}__key": column.key}))}
            )
            terms.append(Case(When(**{f"{name}__id__isnull": True}, then=1), default=0))
            value = F(f"{name}__{field}")
        else:
            raise invalid(f"Invalid identifier type '{column.kind}'")
        terms.append(value.asc(nulls_last=True) if rises else value.desc(nulls_last=True))
    found = _needed(found, SearchColumn("attribute", START))
    return found.order_by(*terms, F(START).desc(), "id")


def _needed(found: QuerySet[Run], column: SearchColumn) -> QuerySet[Run]:
    """The queryset with the alias that the column needs."""
    expression = EXPRESSIONS.get(column.key) if column.kind == "attribute" else None
    return found.alias(**{column.key: expression}) if expression else found


def _condition(clause: SearchClause) -> Any:
    column = clause.column
    if column.kind == "metric":
        return Exists(RunMetric.objects.filter(_compared("last", clause), run=OuterRef("pk"), key=column.key))
    if column.kind == "dataset":
        return Exists(RunInput.objects.filter(_compared(column.key, clause), run=OuterRef("pk")))
    if column.kind == "tag" and column.key in TAG_COLUMNS:
        field = TAG_COLUMNS[column.key]
        has_value = Q(**{f"{field}__isnull": False}) & ~Q(**{field: ""})
        return ~has_value if clause.operator == "IS NULL" else has_value & _compared(field, clause)
    if column.kind in ("param", "tag"):
        rows = (RunParam if column.kind == "param" else RunTag).objects.filter(
            run=OuterRef("pk"), key=column.key
        )
        return (
            ~Exists(rows) if clause.operator == "IS NULL" else Exists(rows.filter(_compared("value", clause)))
        )
    return _compared(column.key, clause)


def _compared(field: str, clause: SearchClause) -> Q:
    """A comparison with the value. NaN, which is NULL here, differs from every number and is neither less nor
    greater."""
    value: Any = clause.value
    if field in (START, END) and isinstance(value, float):
        value = moment(value, field.removeprefix("search_") + "_time")
    if clause.operator in ("IS NULL", "IS NOT NULL"):
        return Q()
    if clause.operator in ("!=", "NOT IN"):
        same = Q(**{f"{field}__{'in' if clause.operator == 'NOT IN' else 'exact'}": value})
        return ~same | Q(**{f"{field}__isnull": True}) if field == "last" else ~same
    return Q(**{f"{field}__{LOOKUPS[clause.operator]}": value})
