"""Share of a team in a pool: weight, quota and budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Sum

from engine.spec.spec import Problem
from jobs.accounting.charges import J_PER_KWH
from jobs.models import Device, Pool, PoolEvent, Share, Team
from jobs.pools import pool_settings
from jobs.pools.setting_types import (
    Parser,
    Setting,
    SettingsError,
    format_number,
    integer_parser,
    number_parser,
    parse_all,
    required_parser,
)
from jobs.states.nodes import AdminState


def _scaled_parser(parse: Parser, size: float) -> Parser:
    """Parser of a text in a larger unit, for a value stored in SI."""

    def parse_scaled(text: str) -> float | None:
        value = parse(text)
        return None if value is None else value * size

    return parse_scaled


def _scaled_formatter(size: float) -> Callable[[Any], str]:
    """Formatter to a larger unit.

    Nine significant digits are what was typed; more digits are rounding errors of the two units.
    """
    return lambda value: "" if value is None else format_number(float(f"{value / size:.9g}"))


def _parse_hours(text: str) -> int | None:
    hours = number_parser(0, 1e7)(text)
    return None if hours is None else round(hours * 3600)


SETTINGS: tuple[Setting, ...] = (
    Setting("weight", "Weight", "Share relative to other teams: weight 2 gets twice as much",
            required_parser(number_parser(0.01, 1e4)), format_number),
    Setting("guaranteed", "Guaranteed", "Devices it gets before teams that borrow",
            required_parser(integer_parser(0, 100_000)), str, "devices"),
    Setting("borrowable", "Borrowable", "Devices beyond the guaranteed ones; empty: any number",
            integer_parser(0, 100_000), format_number, "devices", empty_label="any number"),
    Setting("monthly_budget_device_s", "Device-hours a month", "The full time limit of a new job must fit",
            _parse_hours, _scaled_formatter(3600), "device-hours", empty_label="no budget"),
    Setting("monthly_budget_j", "kWh a month", "No new job starts once measured energy reaches it",
            _scaled_parser(number_parser(0, 1e7), J_PER_KWH), _scaled_formatter(J_PER_KWH), "kWh",
            empty_label="no budget"),
    Setting("monthly_budget_money", "Money a month", "The full time limit of a new job, at the pool's price, must fit",
            number_parser(0, 1e9), format_number, empty_label="no budget"),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}


def setting_texts(share: Share) -> dict[str, str]:
    """Setting name -> text as its form field shows it."""
    return {setting.name: setting.format(getattr(share, setting.name)) for setting in SETTINGS}


def get_share(team: Team, pool: Pool) -> Share:
    """The team's share of a pool, or an unsaved one with the defaults."""
    return Share.objects.filter(team=team, pool=pool).first() or Share(team=team, pool=pool)


def num_devices(pool: Pool) -> int:
    """Devices that are present on nodes that are not retired."""
    return (
        Device.objects.filter(node__pool=pool, is_present=True)
        .exclude(node__admin_state=AdminState.RETIRED)
        .count()
    )


@transaction.atomic
def change(
    team: Team, pool: Pool, actor: str, texts: Mapping[str, str], seen_event_id: int | None = None
) -> PoolEvent | None:
    """Like pool_settings.change, for one team's share.

    Raises SettingsError with every problem, and StaleSettings.
    """
    values = parse_all(SETTINGS, texts)
    Pool.objects.select_for_update(no_key=True).get(id=pool.id)  # guarantees are summed over all teams
    pool_settings.refuse_stale(pool, seen_event_id, team)
    share = get_share(team, pool)
    changed = {name: value for name, value in values.items() if value != getattr(share, name)}
    _refuse_conflicts(share, changed)
    if not changed:
        return None
    before = {name: getattr(share, name) for name in changed}
    # Only these columns: other transactions write the team's use at the same time.
    Share.objects.update_or_create(team=team, pool=pool, defaults=changed)
    text = pool_settings.describe_changes(
        [(BY_NAME[name], before[name], value) for name, value in changed.items()]
    )
    return PoolEvent.objects.create(pool=pool, team=team, actor=actor, text=text)


def total_guaranteed(pool: Pool) -> int:
    return Share.objects.filter(pool=pool).aggregate(n=Sum("guaranteed"))["n"] or 0


def guaranteed_to_others(share: Share) -> int:
    return total_guaranteed(share.pool) - share.guaranteed


def _refuse_conflicts(share: Share, changed: Mapping[str, Any]) -> None:
    """Raise SettingsError for a guarantee that the pool cannot keep; lowering a guarantee is always allowed."""
    requested = changed.get("guaranteed", 0)
    if requested <= share.guaranteed:
        return
    present, others = num_devices(share.pool), guaranteed_to_others(share)
    if requested + others > present:
        raise SettingsError([Problem(
            "guaranteed",
            f"{requested} plus the {others} guaranteed to other teams exceed the {present} devices of pool "
            f"'{share.pool.name}'. Guarantee at most {max(0, present - others)}, or lower another guarantee first.",
        )])  # fmt: skip
