"""Accounting: costs of attempts, grouped as requested."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from dashboard.access import get_scope
from dashboard.api.shapes import AccountingOut, Refusal
from engine.spec.spec import Problem, SpecError
from jobs.accounting import totals

router = Router(tags=["accounting"])


@router.get("/accounting", response={200: AccountingOut, 422: Refusal})
def lines(
    request: HttpRequest,
    by: str = "month,pool,team",
    month: str | None = Query(None, pattern=r"^\d{4}-(0[1-9]|1[0-2])$"),
) -> dict[str, Any]:
    """Costs of the caller's teams; of all teams for an admin's session. `by`: some of month, day, pool, team, person
    and attempt."""
    names = [name.strip() for name in by.split(",")]
    if unknown := sorted(set(names) - totals.GROUP_COLUMNS.keys()):
        known = ", ".join(totals.GROUP_COLUMNS)
        raise SpecError([Problem("by", f"'{unknown[0]}' is none of {known}.")])
    found = totals.usage_rows(totals.charges(month, _teams(request)), list(dict.fromkeys(names)))
    return {"lines": [{"keys": line.keys, **_figures(line)} for line in found]}


def _figures(line: totals.UsageRow) -> dict[str, Any]:
    figures = {name: value for name, value in line.to_json().items() if name not in line.keys}
    return figures | {"energy_j": line.energy_j, "unused_device_s": line.unused_device_s}


def _teams(request: HttpRequest) -> set[int] | None:
    """The teams whose costs are shown; None for all teams."""
    scope = get_scope(request)
    return None if scope.opens_every_team else set(scope.teams().values_list("id", flat=True))
