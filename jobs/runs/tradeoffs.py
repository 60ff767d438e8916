"""Fields and goals for comparing runs by several values at once."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet

from engine.telemetry.metrics import BY_NAME
from jobs.models import Run
from jobs.runs.fields import ATTRIBUTES, Field
from jobs.runs.known import keys
from jobs.runs.matrix import differing

RUN_NAME = Field("param", "name")  # differs in every run without being varied
PREFERRED_GOALS = ("validation_loss", "loss", "tokens_per_s", "step_s")
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


def rank_goals(fields: Sequence[Field]) -> list[Field]:
    """Order fields by their use as goals: preferred metrics, other metrics, then parameters."""
    metrics = [field for field in fields if field.kind == "metric"]
    order = {key: rank for rank, key in enumerate(PREFERRED_GOALS)}
    ranked = sorted(metrics, key=lambda field: order.get(field.key, len(order)))
    return [*ranked, *(field for field in fields if field.kind == "param")]


def choose_goals(
    fields: Sequence[Field], x: Field | None, y: Field | None
) -> tuple[Field | None, Field | None]:
    """Fill in the goals that were not chosen. Returns x and y."""
    goals = rank_goals(fields)
    y = y or next(iter(goals), None)
    return x or next((field for field in goals if field != y), None), y


def varied_parameters(runs: QuerySet[Run]) -> list[Field]:
    """Parameters that differ among these runs, those with the most values first."""
    return [field for field in differing(runs) if field != RUN_NAME]


def field_unit(field: Field) -> str:
    if field.kind == "metric":
        return BY_NAME[field.key].unit if field.key in BY_NAME else ""
    if field.kind == "attribute":
        return ATTRIBUTE_UNITS.get(ATTRIBUTES[field.key].type, "")
    return ""
