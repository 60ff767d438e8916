"""`manage.py node ...`: list, join, cordon, drain, repair and retire nodes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, Q
from django.utils import timezone

from jobs.models import Node
from jobs.nodes import admin, joining
from jobs.nodes.heartbeat import current_health, current_state
from jobs.scheduler import drains
from jobs.scheduler.node_actions import ACTIONS, perform
from jobs.states.jobs import StateError
from jobs.states.nodes import DrainPolicy


class Command(BaseCommand):
    help = "Nodes: list, token POOL, cordon, uncordon, drain, maintenance, retire, readmit."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="print one line per node").add_argument(
            "--json", dest="as_json", action="store_true"
        )
        token = verbs.add_parser(
            "token", help="create a token with which one node joins a pool; it is printed once"
        )
        token.add_argument("pool")
        token.add_argument("--hours", type=float, default=24.0, help="lifetime of the token (default: 24)")
        token.add_argument("--user", default="admin", help="user who acts (default: admin)")
        for name, help_text in (
            ("cordon", "no new work"),
            ("uncordon", "accept work again; cancels a drain"),
            ("drain", "no new work, and end what runs"),
            ("maintenance", "repair; nothing may run"),
            ("retire", "remove permanently"),
            ("readmit", "trust a suspect node and its suspect devices again"),
        ):
            verb = verbs.add_parser(name, help=help_text)
            verb.add_argument("node", help="its name or id")
            verb.add_argument("--reason", default="", help="shown to people who ask why")
            verb.add_argument("--user", default="admin", help="user who acts (default: admin)")
            if name in ("cordon", "drain", "maintenance"):
                verb.add_argument(
                    "--hours",
                    type=float,
                    help="duration: the deadline of a drain, else the time until it ends",
                )
            if name == "drain":
                verb.add_argument(
                    "--policy", choices=DrainPolicy.values, help="default: finish; with --hours: deadline"
                )
                verb.add_argument(
                    "--dry-run", action="store_true", help="only print what a drain by checkpoint would cost"
                )

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            self._handle(verb, options)
        except StateError as error:
            raise CommandError(str(error)) from None

    def _handle(self, verb: str, options: dict[str, Any]) -> None:
        if verb == "list":
            self._list(options["as_json"])
        elif verb == "token":
            life = joining.token_ttl(options["hours"])
            self.stdout.write(joining.make_token(options["pool"], options["user"], life))
        else:
            self._act(verb, admin.get_node(options["node"]), options)

    def _act(self, verb: str, node: Node, options: dict[str, Any]) -> None:
        action, reason, until = ACTIONS[verb], options["reason"], _until(options.get("hours"))
        if verb == "drain":
            for one in drains.plan_drain(node):
                self.stdout.write(f"Job {one.job.id} ({one.job.name}) {one.sentence}")
            if options["dry_run"]:
                return
        if action.needs_reason and not reason:
            raise StateError(f"A reason is required: manage.py node {verb} {node.name} --reason '...'")
        policy = options.get("policy") or (DrainPolicy.DEADLINE if until else DrainPolicy.FINISH)
        perform(action, node, options["user"], reason, policy=policy, until=until)
        now = Node.objects.get(id=node.id)
        self.stdout.write(f"Node {now.name} is {now.admin_state}, {now.health}.")

    def _list(self, as_json: bool) -> None:
        present = Q(devices__is_present=True)
        held = present & Q(devices__leases__is_active=True)
        rows = (
            Node.objects.select_related("pool")
            .annotate(
                num_devices=Count("devices", filter=present, distinct=True),
                num_held=Count("devices", filter=held, distinct=True),
                num_suspect=Count("devices", filter=present & Q(devices__health="suspect"), distinct=True),
            )
            .order_by("pool__name", "name")
        )
        for node in rows:
            summary = _summary(node)
            self.stdout.write(
                json.dumps(summary) if as_json else "  ".join(str(v) for v in summary.values() if v != "")
            )


def _summary(node: Any) -> dict[str, Any]:
    return {
        "node": node.id,
        "name": node.name,
        "pool": node.pool.name,
        "state": current_state(node, timezone.now()),
        "admin_state": node.admin_state,
        "health": current_health(node, timezone.now()),
        "allocation": admin.get_allocation(node.num_devices - node.num_held, node.num_held),
        "devices": f"{node.num_held}/{node.num_devices} held",
        "suspect": f"{node.num_suspect} suspect" if node.num_suspect else "",
        "reason": node.admin_reason or node.storage_problem or node.health_reason,
        "until": node.admin_until.isoformat() if node.admin_until else "",
    }


def _until(hours: float | None) -> datetime | None:
    return None if hours is None else timezone.now() + timedelta(hours=hours)
