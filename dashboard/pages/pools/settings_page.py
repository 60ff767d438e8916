"""Contents of a pool's settings page: fields, problems, quotas of teams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Max, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from dashboard.access import Scope
from dashboard.html.shown_rows import select_shown
from engine.spec.spec import Problem
from jobs.accounting import charges
from jobs.models import Pool, PoolEvent, Share, Team
from jobs.pools import pool_settings, quotas, setting_types
from jobs.pools.setting_types import Setting

EVENTS_SHOWN = 50


@dataclass(frozen=True)
class SettingField:
    setting: Setting
    text: str
    problems: Sequence[str] = ()

    @property
    def selected(self) -> set[str]:
        """Ticked values of a field with several choices."""
        return set(self.text.split())


@dataclass(frozen=True)
class BudgetUse:
    """Use of one budget in this month. `share` can exceed 1 for energy only."""

    text: str
    share: float


@dataclass(frozen=True)
class QuotaRow:
    """Quotas of one team: the fields of its form, and the use of its budgets."""

    team: Team
    fields: list[SettingField]
    seen: int  # id of the newest event about the team
    used: Mapping[str, BudgetUse] = field(default_factory=dict)
    stale: str = ""


def read_posted_texts(post: QueryDict) -> dict[str, str]:
    """Return the posted text of every setting. An unticked box is not posted."""
    readers = {
        "switch": lambda name: str(name in post).lower(),
        "teams": lambda name: " ".join(post.getlist(name)),
    }
    return {
        s.name: readers.get(s.kind, lambda name: post.get(name, ""))(s.name) for s in pool_settings.SETTINGS
    }


def build_fields(
    settings: Iterable[Setting], texts: Mapping[str, str], problems: Iterable[Problem] = ()
) -> list[SettingField]:
    messages: dict[str, list[str]] = {}
    for problem in problems:
        messages.setdefault(problem.field, []).append(problem.message)
    return [
        SettingField(setting, texts.get(setting.name, ""), messages.get(setting.name, ()))
        for setting in settings
    ]


def search_teams(scope: Scope, text: str) -> QuerySet[Team]:
    found = scope.known_teams()
    return found.filter(Q(name__icontains=text) | Q(slug__icontains=text)) if text else found


def build_rows(pool: Pool, teams: Sequence[Team]) -> list[QuotaRow]:
    """Return a row per team. Two queries for any number of teams."""
    shares = {
        share.team_id: share
        for share in Share.objects.filter(pool=pool, team__in=teams).select_related("team")
    }
    newest = dict(
        PoolEvent.objects.filter(pool=pool, team__in=teams).order_by().values_list("team").annotate(Max("id"))
    )
    return [
        build_row(shares.get(team.id) or Share(team=team, pool=pool), newest.get(team.id, 0))
        for team in teams
    ]


def build_row(
    share: Share,
    seen: int,
    texts: Mapping[str, str] | None = None,
    problems: Iterable[Problem] = (),
    stale: str = "",
) -> QuotaRow:
    shown = build_fields(quotas.SETTINGS, texts or quotas.setting_texts(share), problems)
    return QuotaRow(share.team, shown, seen, _compute_use(share), stale)


def newest_event_id(pool: Pool, team: Team | None) -> int:
    return PoolEvent.objects.filter(pool=pool, team=team).aggregate(n=Max("id"))["n"] or 0


def build_changes(scope: Scope, pool: Pool) -> dict[str, Any]:
    """Return the changes that the user may see, and the number of guaranteed devices."""
    events = PoolEvent.objects.filter(pool=pool).select_related("team").order_by("-id")
    if not scope.is_admin:
        events = events.filter(Q(team=None) | Q(team__in=scope.teams()))
    return {
        "events": select_shown(events, EVENTS_SHOWN),
        "guaranteed": quotas.total_guaranteed(pool),
        "num_devices": quotas.num_devices(pool),
    }


def _compute_use(share: Share) -> dict[str, BudgetUse]:
    """Return the use of each budget in this month."""
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
            text = quotas.BY_NAME[name].format(value)
            found[name] = BudgetUse(
                setting_types.format_number(float(f"{float(text):.4g}")),
                value / whole if whole else float(value > 0),
            )
    return found
