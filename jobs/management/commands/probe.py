"""`manage.py probe [NODE]`: list device profiles or probe a node's devices."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.models import DeviceProfile
from jobs.nodes import admin
from jobs.planning import device_profiles
from jobs.states.jobs import StateError


class Command(BaseCommand):
    help = "Without a node: list all device profiles. With one: probe its devices as soon as it is idle."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("node", nargs="?", help="its name or id")
        parser.add_argument("--user", default="admin", help="user who acts (default: admin)")
        parser.add_argument("--json", dest="as_json", action="store_true")

    def handle(self, *, node: str | None, user: str, as_json: bool, **options: Any) -> None:
        if node is None:
            return self._list(as_json)
        try:
            devices = device_profiles.request_probe(admin.get_node(node), user)
        except StateError as error:
            raise CommandError(str(error)) from None
        for device in devices:
            self.stdout.write(
                f"Device {device.index} ({device.name}) will be probed as soon as the node is idle."
            )
        return None

    def _list(self, as_json: bool) -> None:
        for profile in DeviceProfile.objects.order_by("name", "cores", "torch"):
            line = device_profiles.serialize(profile)
            if as_json:
                self.stdout.write(json.dumps(line))
                continue
            cores = "" if profile.cores is None else f", {device_profiles.cores_text(profile.cores)}"
            self.stdout.write(
                f"{profile.name}{cores}, torch {profile.torch}, {profile.measured_at:%Y-%m-%d %H:%M} UTC"
            )
            for name, figure in profile.figures.items():
                self.stdout.write(
                    f"  {name:28} {figure['value']:.4g}  ({figure['low']:.4g} to {figure['high']:.4g})"
                )
