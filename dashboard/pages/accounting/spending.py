"""What of the accounting a person has chosen to see: one month or all, one way to add up, and the lines of that."""

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
from jobs.accounting.totals import Line
from jobs.models import Attempt, Charge, Pool, Run, Team
from jobs.states.jobs import ATTEMPT_LIVE

# What a line is -> what it is added up by: the columns of names that its row has.
GROUPS: dict[str, tuple[str, ...]] = {
    "team": ("team",),
    "pool": ("pool",),
    "person": ("person", "team"),
    "attempt": ("attempt", "person", "team", "pool"),
    "day": ("day",),
}
ALL = "all"
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
LINES_DRAWN = 8  # colours that can be told apart; what is left over is one area of its own
SECONDS = 3600


@dataclass(frozen=True)
class Choice:
    """Read from an address. Raises Http404 for a team that the person is not in, a pool or a month that is none."""

    group: str
    month: str  # 2026-11, or ALL
    pool: str
    team: Team | None
    teams: Sequence[Team]  # that the person may see
    sees_all: bool

    def charges(self) -> QuerySet[Charge]:
        teams = [self.team] if self.team else None if self.sees_all else self.teams
        ids = None if teams is None else [team.id for team in teams]
        return totals.charges(None if self.month == ALL else self.month, ids, self.pool or None)

    def lines(self, window: slice | None = None) -> list[Line]:
        """Days in their order, everything else by what it held, most first."""
        if self.group == "attempt":
            return totals.lines(self.charges(), GROUPS[self.group], window or slice(None))
        found = totals.lines(self.charges(), GROUPS[self.group])
        return found if self.group == "day" else sorted(found, key=lambda line: -line.device_s)


class Attempts:
    """The lines of a choice by attempt, read only as far as a page shows them: a month may have 100,000."""

    def __init__(self, chosen: Choice, count: int) -> None:
        self.chosen, self.count = chosen, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, window: slice) -> list[Line]:
        return self.chosen.lines(window)


def choice(scope: Scope, asked: Mapping[str, str]) -> Choice:
    teams = list(scope.known_teams())
    month = asked.get("month") or charges.month_of(timezone.now())
    chosen = next((team for team in teams if team.slug == asked.get("team")), None)
    pool, group = asked.get("pool", ""), asked.get("by") or "team"
    is_known = group in GROUPS and (month == ALL or MONTH.fullmatch(month))
    if not is_known or (asked.get("team") and chosen is None):
        raise Http404
    if pool and not Pool.objects.filter(name=pool).exists():
        raise Http404
    return Choice(group, month, pool, chosen, teams, scope.is_admin)


def months(chosen: Choice) -> list[str]:
    """Those with something in them, the current one and the chosen one; newest first."""
    ids = None if chosen.sees_all else [team.id for team in chosen.teams]
    shown = {*totals.months(ids), charges.month_of(timezone.now()), chosen.month} - {ALL}
    return sorted(shown, reverse=True)


def running(chosen: Choice) -> tuple[int, float]:
    """Attempts that run now, and the device-seconds they have held: nothing of it is booked before they end."""
    live = Attempt.objects.filter(state__in=ATTEMPT_LIVE)
    if chosen.team or not chosen.sees_all:
        live = live.filter(job__team__in=[chosen.team] if chosen.team else chosen.teams)
    if chosen.pool:
        live = live.filter(job__pool__name=chosen.pool)
    now = timezone.now()
    held = [
        (now - since).total_seconds() * num_devices
        for since, num_devices in live.values_list("assigned_at", "job__num_devices")
    ]
    return len(held), sum(held)


def runs_of(lines: Sequence[Line]) -> dict[str, str]:
    """attempt -> its run's id, for links."""
    jobs = {attempt: attempt.split("/")[0] for line in lines if (attempt := line.keys.get("attempt"))}
    runs = dict(Run.objects.filter(job__in=set(jobs.values())).values_list("job_id", "id"))
    return {attempt: runs[job] for attempt, job in jobs.items() if job in runs}


def drawing(chosen: Choice) -> dict[str, Any]:
    """The charts: device-hours a day (over all months: a month), stacked by team, or by pool where there is one team
    only, and the share of them that was wasted."""
    step = "month" if chosen.month == ALL else "day"
    by = "pool" if chosen.team or len(chosen.teams) < 2 else "team"
    lines = totals.lines(chosen.charges(), (step, by))
    places = _months_between(lines) if step == "month" else _days_of(chosen.month)
    held: dict[str, dict[str, float]] = {}
    whole, wasted = dict.fromkeys(places, 0.0), dict.fromkeys(places, 0.0)
    for line in lines:
        place = line.keys[step]
        held.setdefault(line.keys[by], {})[place] = line.device_s
        whole[place] += line.device_s
        wasted[place] += line.wasted_device_s
    return {
        "x": [datetime.fromisoformat(f"{place}-01"[:10]).replace(tzinfo=UTC).timestamp() for place in places],
        "step": step,
        "stack": [
            {"name": name, "values": [values.get(place, 0.0) / SECONDS for place in places]}
            for name, values in _drawn(held, by)
        ],
        "wasted": [wasted[place] / whole[place] if whole[place] else None for place in places],
    }


def shown(chosen: Choice, lines: Sequence[Line], total: Line) -> table.Table:
    """Every page of a list has the columns of the whole."""
    return table.of(lines, GROUPS[chosen.group], total)


def _drawn(held: Mapping[str, dict[str, float]], by: str) -> list[tuple[str, dict[str, float]]]:
    """Most first; what has no colour of its own is added up."""
    ordered = sorted(held.items(), key=lambda item: -sum(item[1].values()))
    if len(ordered) <= LINES_DRAWN:
        return ordered
    kept, others = ordered[: LINES_DRAWN - 1], ordered[LINES_DRAWN - 1 :]
    rest: dict[str, float] = {}
    for _, values in others:
        for place, seconds in values.items():
            rest[place] = rest.get(place, 0.0) + seconds
    return [*kept, (f"{len(others)} other {by}s", rest)]


def _days_of(month: str) -> list[str]:
    """Up to today, for what is to come has not been held by anybody."""
    year, number = int(month[:4]), int(month[5:])
    last = date(year, number, calendar.monthrange(year, number)[1])
    today = timezone.now().date()
    until = today.day if (today.year, today.month) == (year, number) else last.day
    return [date(year, number, day).isoformat() for day in range(1, until + 1)]


def _months_between(lines: Sequence[Line]) -> list[str]:
    found = [line.keys["month"] for line in lines]
    if not found:
        return []
    first, last = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (min(found), max(found)))
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(first, last + 1)]
