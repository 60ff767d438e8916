"""Fields and goals for comparing runs by several values at once."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count, QuerySet

from engine.telemetry.metrics import BY_NAME
from jobs.models import Run, RunParam
from jobs.runs.fields import ATTRIBUTES, Field
from jobs.runs.known import keys
from jobs.runs.matrix import differing
from jobs.series.metric_roles import Role, get_role

RUN_NAME = Field("param", "name")  # differs in every run without being varied
GOAL_ROLES: tuple[Role, ...] = ("validation_loss", "loss", "throughput", "score")
FEW_TEXTS = 12  # values of a text parameter, for an axis of its own
NUMBER_TYPES = ("number", "seconds", "time")
TEXT_ATTRIBUTES = ("owner", "state", "project", "pool")
ATTRIBUTE_UNITS = {"seconds": "s", "time": "time", "share": "share"}


def available_fields(runs: QuerySet[Run]) -> list[Field]:
    """Fields that can be compared: metrics, parameters, attributes and tags of these runs."""
    metrics = [Field("metric", key, "last") for key, _ in keys(runs, "metric")]
    params = [Field("param", key) for key, _ in keys(runs, "param")]
    tags = [Field("tag", key) for key, _ in keys(runs, "tag")]
    attributes = [
        Field("attribute", key)
        for key, row in ATTRIBUTES.items()
        if row.type in NUMBER_TYPES or key in TEXT_ATTRIBUTES
    ]
    return [*metrics, *params, *attributes, *tags]


def rank_goals(fields: Sequence[Field], usual: Sequence[str] = ()) -> list[Field]:
    """Order fields by their use as goals: metrics that most runs have (`usual`), by role, others, parameters."""
    metrics = [field for field in fields if field.kind == "metric"]

    def rank(field: Field) -> tuple[bool, int]:
        role = get_role(field.key).role
        return field.key not in usual, GOAL_ROLES.index(role) if role in GOAL_ROLES else len(GOAL_ROLES)

    ranked = sorted(metrics, key=rank)
    return [*ranked, *(field for field in fields if field.kind == "param")]


def choose_goals(
    fields: Sequence[Field], x: Field | None, y: Field | None, usual: Sequence[str] = ()
) -> tuple[Field | None, Field | None]:
    """Fill in the goals that were not chosen. Returns x and y."""
    goals = rank_goals(fields, usual)
    y = y or next(iter(goals), None)
    return x or next((field for field in goals if field != y), None), y


def varied_parameters(runs: QuerySet[Run]) -> list[Field]:
    """Parameters that differ among these runs, those with the most values first: numbers and texts of few values, then
    free texts, which make no axis."""
    varied = [field for field in differing(runs) if field != RUN_NAME]
    rows = RunParam.objects.filter(
        run__in=runs.order_by(), key__in=[field.key for field in varied]
    ).values_list("key")
    counted = rows.annotate(n=Count("id"), numbers=Count("number"), values=Count("value", distinct=True))
    free = {key for key, n, numbers, values in counted if numbers < n and values > FEW_TEXTS}
    return sorted(varied, key=lambda field: field.key in free)


def field_unit(field: Field) -> str:
    if field.kind == "metric":
        return BY_NAME[field.key].unit if field.key in BY_NAME else ""
    if field.kind == "attribute":
        return ATTRIBUTE_UNITS.get(ATTRIBUTES[field.key].type, "")
    return ""
