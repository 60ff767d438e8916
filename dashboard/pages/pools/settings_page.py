"""What the settings page of a pool shows: fields with what was typed and what is wrong, and what each team may have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Max, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from dashboard.access import Scope
from engine.spec.spec import Problem
from jobs.accounting import charges
from jobs.models import Pool, PoolEvent, Share, Team
from jobs.pools import pool_settings, quotas, setting_types
from jobs.pools.setting_types import Setting

EVENTS_SHOWN = 50


@dataclass(frozen=True)
class Field:
    setting: Setting
    text: str
    problems: Sequence[str] = ()

    @property
    def chosen(self) -> set[str]:
        """Of a field with several choices, those that are ticked."""
        return set(self.text.split())


@dataclass(frozen=True)
class Used:
    """How far one budget of this month is used; `share` above 1 is possible with energy only."""

    text: str
    share: float


@dataclass(frozen=True)
class Row:
    """One team's share: the fields of its form, and what is used of its budgets."""

    team: Team
    fields: list[Field]
    seen: int  # newest event about it
    used: Mapping[str, Used] = field(default_factory=dict)
    stale: str = ""


def texts_of(post: QueryDict) -> dict[str, str]:
    """Every setting of the pool as it was posted: an unticked box is not posted at all."""
    readers = {
        "switch": lambda name: str(name in post).lower(),
        "teams": lambda name: " ".join(post.getlist(name)),
    }
    return {
        s.name: readers.get(s.kind, lambda name: post.get(name, ""))(s.name) for s in pool_settings.SETTINGS
    }


def fields(
    settings: Iterable[Setting], texts: Mapping[str, str], problems: Iterable[Problem] = ()
) -> list[Field]:
    said: dict[str, list[str]] = {}
    for problem in problems:
        said.setdefault(problem.field, []).append(problem.message)
    return [Field(setting, texts.get(setting.name, ""), said.get(setting.name, ())) for setting in settings]


def teams_shown(scope: Scope, text: str) -> QuerySet[Team]:
    found = scope.known_teams()
    return found.filter(Q(name__icontains=text) | Q(slug__icontains=text)) if text else found


def rows(pool: Pool, teams: Sequence[Team]) -> list[Row]:
    """Two queries, however many teams."""
    shares = {
        share.team_id: share
        for share in Share.objects.filter(pool=pool, team__in=teams).select_related("team")
    }
    newest = dict(
        PoolEvent.objects.filter(pool=pool, team__in=teams).order_by().values_list("team").annotate(Max("id"))
    )
    return [row(shares.get(team.id) or Share(team=team, pool=pool), newest.get(team.id, 0)) for team in teams]


def row(
    share: Share,
    seen: int,
    texts: Mapping[str, str] | None = None,
    problems: Iterable[Problem] = (),
    stale: str = "",
) -> Row:
    shown = fields(quotas.SETTINGS, texts or quotas.texts_of(share), problems)
    return Row(share.team, shown, seen, _used(share), stale)


def newest(pool: Pool, team: Team | None) -> int:
    return PoolEvent.objects.filter(pool=pool, team=team).aggregate(n=Max("id"))["n"] or 0


def changes(scope: Scope, pool: Pool) -> dict[str, Any]:
    """What has been changed, as far as it is the person's business, and how much is guaranteed by now."""
    events = PoolEvent.objects.filter(pool=pool).select_related("team").order_by("-id")
    if not scope.is_admin:
        events = events.filter(Q(team=None) | Q(team__in=scope.teams()))
    return {
        "events": list(events[:EVENTS_SHOWN]),
        "guaranteed": quotas.guaranteed_in_all(pool),
        "num_devices": quotas.num_devices(pool),
    }


def _used(share: Share) -> dict[str, Used]:
    """Of those budgets that there are, what has been booked this month."""
    is_now = share.month == charges.month_of(timezone.now())
    booked = {
        "monthly_budget_device_s": share.month_device_s,
        "monthly_budget_j": share.month_j,
        "monthly_budget_money": share.month_money,
    }
    found = {}
    for name, value in booked.items():
        whole, value = getattr(share, name), value if is_now else 0.0
        if whole is not None:
            text = quotas.BY_NAME[name].write(value)
            found[name] = Used(
                setting_types.said_number(float(f"{float(text):.4g}")),
                value / whole if whole else float(value > 0),
            )
    return found
