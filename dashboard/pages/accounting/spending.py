"""Selection of the accounting page, with its rows and charts."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone

from dashboard.access import Scope
from jobs.accounting import charges, table, totals
from jobs.accounting.run_cost import held_by_live_attempts
from jobs.accounting.totals import UsageRow
from jobs.models import Attempt, Charge, Pool, Run, Team

# Grouping -> name columns of its rows
GROUPS: dict[str, tuple[str, ...]] = {
    "team": ("team",),
    "pool": ("pool",),
    "person": ("person", "team"),
    "attempt": ("attempt", "person", "team", "pool"),
    "day": ("day",),
}
ALL = "all"
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
AREAS_LIMIT = 8  # colours that can be distinguished; the rest is one area
SECONDS = 3600


@dataclass(frozen=True)
class UsageSelection:
    """What the page shows, as its address says."""

    group: str
    month: str  # 2026-11, or ALL
    pool: str
    team: Team | None
    teams: Sequence[Team]  # that the user may see
    sees_all: bool

    def charges(self) -> QuerySet[Charge]:
        teams = [self.team] if self.team else None if self.sees_all else self.teams
        ids = None if teams is None else [team.id for team in teams]
        return totals.charges(None if self.month == ALL else self.month, ids, self.pool or None)

    def lines(self, window: slice | None = None) -> list[UsageRow]:
        """Return the rows: days in order, other groupings by device-seconds, most first."""
        if self.group == "attempt":
            return totals.usage_rows(self.charges(), GROUPS[self.group], window or slice(None))
        found = totals.usage_rows(self.charges(), GROUPS[self.group])
        return found if self.group == "day" else sorted(found, key=lambda line: -line.device_s)


class AttemptRows(Sequence[UsageRow]):
    """Rows of a selection by attempt, read one page at a time: a month may have 100,000."""

    def __init__(self, selection: UsageSelection, num_attempts: int) -> None:
        self.selection, self.num_attempts = selection, num_attempts

    def __len__(self) -> int:
        return self.num_attempts

    def __getitem__(self, window: Any) -> Any:
        return self.selection.lines(window)


def read_selection(scope: Scope, query: Mapping[str, str]) -> UsageSelection:
    """Read a selection from the query. Raises Http404 for an unknown grouping, month, team or pool."""
    teams = list(scope.known_teams())
    month = query.get("month") or charges.month_of(timezone.now())
    selected = next((team for team in teams if team.slug == query.get("team")), None)
    pool, group = query.get("pool", ""), query.get("by") or "team"
    is_known = group in GROUPS and (month == ALL or MONTH.fullmatch(month))
    if not is_known or (query.get("team") and selected is None):
        raise Http404
    if pool and not Pool.objects.filter(name=pool).exists():
        raise Http404
    return UsageSelection(group, month, pool, selected, teams, scope.is_admin)


def list_months(selection: UsageSelection) -> list[str]:
    """Return the months with charges, the current and the selected one; newest first."""
    ids = None if selection.sees_all else [team.id for team in selection.teams]
    shown = {*totals.months(ids), charges.month_of(timezone.now()), selection.month} - {ALL}
    return sorted(shown, reverse=True)


def sum_running(selection: UsageSelection) -> tuple[int, float]:
    """Return the number of live attempts and their device-seconds, which are booked when they end."""
    attempts = Attempt.objects.all()
    if selection.team or not selection.sees_all:
        attempts = attempts.filter(job__team__in=[selection.team] if selection.team else selection.teams)
    if selection.pool:
        attempts = attempts.filter(job__pool__name=selection.pool)
    return held_by_live_attempts(attempts, timezone.now())


def run_by_attempt(lines: Sequence[UsageRow]) -> dict[str, str]:
    """Return attempt -> id of its run, for links."""
    jobs = {attempt: attempt.split("/")[0] for line in lines if (attempt := line.keys.get("attempt"))}
    runs = dict(Run.objects.filter(job__in=set(jobs.values()), deletion=None).values_list("job_id", "id"))
    return {attempt: runs[job] for attempt, job in jobs.items() if job in runs}


def build_charts(selection: UsageSelection) -> dict[str, Any]:
    """Return the charts: device-hours per day, or per month for all months, and their wasted share.

    The device-hours are stacked by team, or by pool if there is only one team.
    """
    step = "month" if selection.month == ALL else "day"
    by = "pool" if selection.team or len(selection.teams) < 2 else "team"
    lines = totals.usage_rows(selection.charges(), (step, by))
    dates = _months_between(lines) if step == "month" else _days_of_month(selection.month)
    held: dict[str, dict[str, float]] = {}
    total, wasted = dict.fromkeys(dates, 0.0), dict.fromkeys(dates, 0.0)
    for line in lines:
        date_text = line.keys[step]
        held.setdefault(line.keys[by], {})[date_text] = line.device_s
        total[date_text] += line.device_s
        wasted[date_text] += line.wasted_device_s
    return {
        "x": [datetime.fromisoformat(f"{text}-01"[:10]).replace(tzinfo=UTC).timestamp() for text in dates],
        "step": step,
        "stack": [
            {"name": name, "values": [values.get(text, 0.0) / SECONDS for text in dates]}
            for name, values in _limit_areas(held, by)
        ],
        "wasted": [wasted[text] / total[text] if total[text] else None for text in dates],
    }


def build_table(
    selection: UsageSelection, lines: Sequence[UsageRow], total: UsageRow
) -> table.AccountingTable:
    """Return the table of one page of rows; every page has the same columns."""
    return table.build_table(lines, GROUPS[selection.group], total)


def _limit_areas(held: Mapping[str, dict[str, float]], by: str) -> list[tuple[str, dict[str, float]]]:
    """Return the largest areas first; areas without a colour of their own are added up."""
    ordered = sorted(held.items(), key=lambda item: -sum(item[1].values()))
    if len(ordered) <= AREAS_LIMIT:
        return ordered
    largest, others = ordered[: AREAS_LIMIT - 1], ordered[AREAS_LIMIT - 1 :]
    rest: dict[str, float] = {}
    for _, values in others:
        for date_text, seconds in values.items():
            rest[date_text] = rest.get(date_text, 0.0) + seconds
    return [*largest, (f"{len(others)} other {by}s", rest)]


def _days_of_month(month: str) -> list[str]:
    """Return the days of a month up to today."""
    year, number = int(month[:4]), int(month[5:])
    last = date(year, number, calendar.monthrange(year, number)[1])
    today = timezone.now().date()
    until = today.day if (today.year, today.month) == (year, number) else last.day
    return [date(year, number, day).isoformat() for day in range(1, until + 1)]


def _months_between(lines: Sequence[UsageRow]) -> list[str]:
    found = [line.keys["month"] for line in lines]
    if not found:
        return []
    first, last = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (min(found), max(found)))
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(first, last + 1)]
