"""`manage.py share TEAM POOL`: show or change the share of a team in a pool."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Pool, Share, Team
from jobs.pools import quotas
from jobs.pools.setting_types import SettingsError

NONE = "none"
# option -> its column and help text
OPTIONS = {
    "weight": ("weight", "share relative to other teams (default 1)"),
    "guaranteed": ("guaranteed", "devices it gets before teams that borrow"),
    "borrowable": ("borrowable", "devices beyond the guaranteed ones, or 'none' for no limit"),
    "budget": ("monthly_budget_device_s", "device-hours a month, or 'none' for no budget"),
    "budget_kwh": ("monthly_budget_j", "kWh a month, or 'none'"),
    "budget_money": ("monthly_budget_money", "a month, in the pool's currency, or 'none'"),
}


class Command(BaseCommand):
    help = (
        "Show or change a team's share of a pool: weight, guaranteed and borrowable devices, monthly budgets."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("team", help="its slug")
        parser.add_argument("pool")
        for option, (_, help_text) in OPTIONS.items():
            parser.add_argument(f"--{option.replace('_', '-')}", help=help_text)
        parser.add_argument("--user", default="admin", help="user who acts (default: admin)")

    def handle(self, *, team: str, pool: str, user: str, **options: Any) -> None:
        try:
            key = Team.objects.get(slug=team), Pool.objects.get(name=pool)
        except (Team.DoesNotExist, Pool.DoesNotExist) as error:
            raise CommandError(f"{error} Team '{team}', pool '{pool}'.") from None
        texts = {
            column: "" if options[option] == NONE else options[option]
            for option, (column, _) in OPTIONS.items()
            if options[option] is not None
        }
        try:
            if texts:
                quotas.change(*key, user, texts)
        except SettingsError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(_sentence(quotas.get_share(*key)))


def _sentence(share: Share) -> str:
    borrowable = "any number" if share.borrowable is None else share.borrowable
    budgets = [
        f"{quotas.BY_NAME[name].format(value)} {unit}"
        for name, unit in (
            ("monthly_budget_device_s", "device-hours"),
            ("monthly_budget_j", "kWh"),
            ("monthly_budget_money", share.pool.currency),
        )
        if (value := getattr(share, name)) is not None
    ]
    text = f"{', '.join(budgets)} a month" if budgets else "no monthly budget"
    return (
        f"Team {share.team.slug} in pool {share.pool.name}: weight {share.weight:g}, {share.guaranteed} devices "
        f"guaranteed, {borrowable} more to borrow, {text}."
    )
