"""By what the list of runs can be put in order: one row a column."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from jobs.models import Run
from jobs.runs import field_of, ordered


@dataclass(frozen=True)
class Order:
    """One column of the table and the address that its head leads to."""

    key: str
    title: str
    field: str
    is_number: bool = False
    is_best_high: bool = False  # the first press shows the greatest first


ORDERS = (
    Order("name", "Run", "name"),
    Order("state", "State", "state"),
    Order("steps", "Steps", "steps", is_number=True, is_best_high=True),
    Order("loss", "Training loss", "last(loss)", is_number=True),
    Order("validation", "Validation loss", "last(validation_loss)", is_number=True),
    Order("speed", "Throughput", "last(tokens_per_s)", is_number=True, is_best_high=True),
    Order("owner", "Owner", "owner"),
    Order("began", "Began", "created", is_best_high=True),
)
BY_KEY = {order.key: order for order in ORDERS}


@dataclass(frozen=True)
class Column:
    title: str
    is_number: bool
    order: str  # ascending, descending or empty: the aria-sort of its head
    next: str | None  # what the address says after a press


def known(text: str) -> str:
    """`loss` or `-loss` where there is such a column, else nothing."""
    return text if text.removeprefix("-") in BY_KEY else ""


def sorted_runs(runs: QuerySet[Run], sort: str) -> QuerySet[Run]:
    """Runs without a value come last in either direction, behind them those whose value is no number."""
    field = field_of(BY_KEY[sort.removeprefix("-")].field) if sort else None
    return ordered(runs, field, is_descending=sort.startswith("-"))


def columns(sort: str) -> list[Column]:
    """Heads of the table. A press on a column sorts by it, the next one turns it round."""
    return [_column(order, sort) for order in ORDERS]


def _column(order: Order, sort: str) -> Column:
    first, second = (f"-{order.key}", order.key) if order.is_best_high else (order.key, f"-{order.key}")
    now = {order.key: "ascending", f"-{order.key}": "descending"}.get(sort, "")
    return Column(order.title, order.is_number, now, second if sort == first else first)
