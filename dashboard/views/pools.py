"""The pools page: nodes and devices with their newest readings, and who holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Prefetch, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard import access, devices
from jobs.models import Node, Pool
from jobs.states import JobState


@dataclass(frozen=True)
class NodeCard:
    node: Node
    devices: list[devices.DeviceCard]
    facts: list[tuple[str, Any]]


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    told = access.told_of(request.user)
    nodes = Node.objects.order_by("name").prefetch_related(Prefetch("devices", devices.with_holders()))
    waiting = Count("jobs", filter=Q(jobs__state=JobState.QUEUED))
    pools = (
        Pool.objects.order_by("name")
        .annotate(num_waiting=waiting)
        .prefetch_related(Prefetch("nodes", nodes), "allowed_teams")
    )
    context = {"pools": [(pool, [_card(node, told, now) for node in pool.nodes.all()]) for pool in pools]}
    return render(
        request, "pools/_list.html" if request.headers.get("HX-Request") else "pools/page.html", context
    )


def _card(node: Node, told: Callable[[int], bool], now: datetime) -> NodeCard:
    cards = [devices.card(device, told, now) for device in node.devices.all()]
    return NodeCard(node, cards, devices.facts_of(node.facts))
