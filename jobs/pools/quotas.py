"""What a team may have of a pool: its weight, quota and budgets as one table, and who may change them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Sum

from engine.spec.spec import Problem
from jobs.accounting.charges import J_PER_KWH
from jobs.models import Device, Pool, PoolEvent, Share, Team
from jobs.pools import pool_settings, setting_types
from jobs.pools.setting_types import Reader, Setting, SettingsError
from jobs.states.nodes import AdminState


def _scaled(read: Reader, size: float) -> Reader:
    """A text in a larger unit, kept in SI."""

    def scaled(text: str) -> float | None:
        value = read(text)
        return None if value is None else value * size

    return scaled


def _said_scaled(size: float) -> Callable[[Any], str]:
    """Nine digits are what was typed; the rest is what the product of the two units left behind."""
    return lambda value: "" if value is None else setting_types.said_number(float(f"{value / size:.9g}"))


def _whole_seconds(text: str) -> int | None:
    hours = setting_types.number(0, 1e7)(text)
    return None if hours is None else round(hours * 3600)


SETTINGS: tuple[Setting, ...] = (
    Setting("weight", "Weight", "Of its use against the other teams': 2 gets twice as much",
            setting_types.required(setting_types.number(0.01, 1e4)), setting_types.said_number),
    Setting("guaranteed", "Guaranteed", "Devices it gets before all who borrow",
            setting_types.required(setting_types.whole(0, 100_000)), str, "devices"),
    Setting("borrowable", "To borrow", "Devices beyond those; empty: any number",
            setting_types.whole(0, 100_000), setting_types.said_number, "devices", absent="any number"),
    Setting("monthly_budget_device_s", "Device-hours a month", "Whole time limits must fit; empty: no budget",
            _whole_seconds, _said_scaled(3600), "device-hours", absent="no budget"),
    Setting("monthly_budget_j", "kWh a month", "Starts nothing new once measured energy reaches it",
            _scaled(setting_types.number(0, 1e7), J_PER_KWH), _said_scaled(J_PER_KWH), "kWh", absent="no budget"),
    Setting("monthly_budget_money", "Money a month", "Whole time limits at the pool's price must fit",
            setting_types.number(0, 1e9), setting_types.said_number, absent="no budget"),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}


def texts_of(share: Share) -> dict[str, str]:
    """Each setting as a field shows it."""
    return {setting.name: setting.write(getattr(share, setting.name)) for setting in SETTINGS}


def of(team: Team, pool: Pool) -> Share:
    """The team's row, or what holds without one."""
    return Share.objects.filter(team=team, pool=pool).first() or Share(team=team, pool=pool)


def num_devices(pool: Pool) -> int:
    """Present ones of nodes that have not been retired."""
    return (
        Device.objects.filter(node__pool=pool, is_present=True)
        .exclude(node__admin_state=AdminState.RETIRED)
        .count()
    )


@transaction.atomic
def change(
    team: Team, pool: Pool, actor: str, texts: Mapping[str, str], seen: int | None = None
) -> PoolEvent | None:
    """As pools.change, for one team's share. Raises SettingsError with every problem, and pools.Stale."""
    values = setting_types.read_all(SETTINGS, texts)
    Pool.objects.select_for_update(no_key=True).get(id=pool.id)  # guarantees are added up over all teams
    pool_settings.refuse_stale(pool, seen, team)
    share = of(team, pool)
    changed = {name: value for name, value in values.items() if value != getattr(share, name)}
    _refuse(share, changed)
    if not changed:
        return None
    before = {name: getattr(share, name) for name in changed}
    # Only these columns: what the team has used is written by others meanwhile.
    Share.objects.update_or_create(team=team, pool=pool, defaults=changed)
    text = pool_settings.said_changes(
        [(BY_NAME[name], before[name], value) for name, value in changed.items()]
    )
    return PoolEvent.objects.create(pool=pool, team=team, actor=actor, text=text)


def guaranteed_in_all(pool: Pool) -> int:
    return Share.objects.filter(pool=pool).aggregate(n=Sum("guaranteed"))["n"] or 0


def guaranteed_to_others(share: Share) -> int:
    return guaranteed_in_all(share.pool) - share.guaranteed


def _refuse(share: Share, changed: Mapping[str, Any]) -> None:
    """A guarantee that the pool cannot keep is refused; one that is lowered never is. Raises SettingsError."""
    asked = changed.get("guaranteed", 0)
    if asked <= share.guaranteed:
        return
    there, others = num_devices(share.pool), guaranteed_to_others(share)
    if asked + others > there:
        raise SettingsError([Problem(
            "guaranteed",
            f"{asked} and the {others} guaranteed to other teams are more than the {there} devices of pool "
            f"'{share.pool.name}'. At the most {max(0, there - others)}, or lower another team's first.",
        )])  # fmt: skip
