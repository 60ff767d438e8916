"""`manage.py share TEAM POOL`: what a team may have of a pool, shown or changed."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import Pool, Share, Team

NONE = "none"


class Command(BaseCommand):
    help = (
        "Show or change a team's share of a pool: weight, guaranteed and borrowable devices, monthly budget."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("team", help="its slug")
        parser.add_argument("pool")
        parser.add_argument("--weight", type=float, help="of its use against the other teams' (default 1)")
        parser.add_argument("--guaranteed", type=int, help="devices it gets before all who borrow")
        parser.add_argument("--borrowable", help="devices beyond those, or 'none' for no limit")
        parser.add_argument("--budget", help="device-hours a month, or 'none' for no budget")

    def handle(self, *, team: str, pool: str, **options: Any) -> None:
        try:
            key: dict[str, Any] = {"team": Team.objects.get(slug=team), "pool": Pool.objects.get(name=pool)}
        except (Team.DoesNotExist, Pool.DoesNotExist) as error:
            raise CommandError(f"{error} Team '{team}', pool '{pool}'.") from None
        if changes := self._changes(options):
            share = Share.objects.filter(**key).first() or Share(**key)
            for name, value in changes.items():
                setattr(share, name, value)
            try:
                share.clean_fields()
            except ValidationError as error:
                raise CommandError("; ".join(error.messages)) from None
            # Only these columns: what the team has used is written by others meanwhile.
            Share.objects.update_or_create(**key, defaults=changes)
        self.stdout.write(_sentence(Share.objects.filter(**key).first() or Share(**key)))

    def _changes(self, options: dict[str, Any]) -> dict[str, Any]:
        changes = {name: options[name] for name in ("weight", "guaranteed") if options[name] is not None}
        try:
            if (borrowable := options["borrowable"]) is not None:
                changes["borrowable"] = None if borrowable == NONE else int(borrowable)
            if (budget := options["budget"]) is not None:
                changes["monthly_budget_device_s"] = None if budget == NONE else int(float(budget) * 3600)
        except ValueError as error:
            raise CommandError(f"Neither a number nor '{NONE}': {error}.") from None
        return changes


def _sentence(share: Share) -> str:
    borrowable = "any number" if share.borrowable is None else share.borrowable
    budget = share.monthly_budget_device_s
    said = "no monthly budget" if budget is None else f"{budget / 3600:g} device-hours a month"
    return (
        f"Team {share.team.slug} in pool {share.pool.name}: weight {share.weight:g}, {share.guaranteed} devices "
        f"guaranteed, {borrowable} more to borrow, {said}."
    )
