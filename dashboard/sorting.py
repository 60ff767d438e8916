"""By what the list of runs can be put in order: one row a column."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Case, F, IntegerField, QuerySet, Value, When

from jobs.models import Run

NEWEST_FIRST = "-created_at"
ODD = ("NaN", "Infinity", "-Infinity")  # how JSON keeps what is not finite


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
    Order("state", "State", "job__state"),
    Order("steps", "Steps", "job__step", is_number=True, is_best_high=True),
    Order("loss", "Training loss", "headline__loss", is_number=True),
    Order("validation", "Validation loss", "headline__validation_loss", is_number=True),
    Order("speed", "Throughput", "headline__tokens_per_s", is_number=True, is_best_high=True),
    Order("owner", "Owner", "owner__username"),
    Order("began", "Began", "created_at", is_best_high=True),
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
    if not sort:
        return runs.order_by(NEWEST_FIRST, "id")
    order = BY_KEY[sort.removeprefix("-")]
    value = F(order.field)
    place = value.desc(nulls_last=True) if sort.startswith("-") else value.asc(nulls_last=True)
    if order.field.startswith("headline__"):
        is_odd = Case(
            When(**{f"{order.field}__in": ODD}, then=Value(1)), default=Value(0), output_field=IntegerField()
        )
        return runs.order_by(is_odd, place, NEWEST_FIRST, "id")
    return runs.order_by(place, NEWEST_FIRST, "id")


def columns(sort: str) -> list[Column]:
    """Heads of the table. A press on a column sorts by it, the next one turns it round."""
    return [_column(order, sort) for order in ORDERS]


def _column(order: Order, sort: str) -> Column:
    first, second = (f"-{order.key}", order.key) if order.is_best_high else (order.key, f"-{order.key}")
    now = {order.key: "ascending", f"-{order.key}": "descending"}.get(sort, "")
    return Column(order.title, order.is_number, now, second if sort == first else first)
