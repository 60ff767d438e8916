"""The pools page: the map of every device, and each pool with its nodes and what keeps work from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.pages.nodes import devices
from dashboard.pages.pools import pool_map
from dashboard.server.replies import json_reply
from jobs.accounting import utilisation
from jobs.models import Device, Lease, Node, Pool
from jobs.nodes.heartbeat import alive_since
from jobs.states.jobs import JobState
from jobs.states.nodes import AdminState, Health

CARDS_LIMIT = 6  # nodes in all, up to which each one's devices are shown as cards
TROUBLED_SHOWN = 12  # of a pool
LINKS_TESTED = (
    8  # ranks that a fabric test begins with: enough for rings and trees to differ; the form takes others
)


@dataclass(frozen=True)
class NodeCard:
    node: Node
    devices: list[devices.DeviceCard]
    facts: list[tuple[str, Any]]


@dataclass
class PoolPart:
    pool: Pool
    num_waiting: int
    num_nodes: int = 0
    num_devices: int = 0
    num_held: int = 0
    num_unused: int = 0  # of those, held but unused
    num_troubled: int = 0
    cards: list[NodeCard] = field(default_factory=list)
    troubled: list[Node] = field(default_factory=list)  # nodes that take no work

    @property
    def links_test(self) -> str:
        """The submit form that begins with a test of this pool's links; '' where no two devices may be taken."""
        ranks = min(self.num_devices, self.pool.max_gang or LINKS_TESTED, LINKS_TESTED)
        if ranks < 2:
            return ""
        changes = ("kind=fabric_test", f"pool={self.pool.name}", f"parallel.data={ranks}")
        return f"{reverse('submit')}?{urlencode([('set', change) for change in changes])}"


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    parts = _parts()
    if sum(part.num_nodes for part in parts.values()) <= CARDS_LIMIT:
        _add_cards(parts, get_scope(request).can_see_details)
    else:
        _add_troubled(parts)
    context = {"parts": list(parts.values()), "is_admin": get_scope(request).is_admin}
    return render(
        request, "pools/_list.html" if request.headers.get("HX-Request") else "pools/page.html", context
    )


@require_safe
@gzip_page  # nothing in it is secret and chosen by somebody else at once
def map_data(request: HttpRequest) -> HttpResponse:
    """What the map draws."""
    found = pool_map.of(get_scope(request).can_see_details)
    return json_reply(found)


def _parts() -> dict[int, PoolPart]:
    waiting = Count("jobs", filter=Q(jobs__state=JobState.QUEUED))
    pools = Pool.objects.order_by("name").annotate(num_waiting=waiting).prefetch_related("allowed_teams")
    parts = {pool.id: PoolPart(pool, pool.num_waiting) for pool in pools}
    nodes = _counted(Node.objects.exclude(admin_state=AdminState.RETIRED), "pool")
    here = _counted(Device.objects.filter(is_present=True), "node__pool")
    held = _counted(Lease.objects.filter(is_active=True), "device__node__pool")
    unused = _counted(utilisation.unused(timezone.now()), "device__node__pool")
    for pool, part in parts.items():
        part.num_unused = unused[pool]
        part.num_nodes, part.num_devices, part.num_held = nodes[pool], here[pool], held[pool]
    return parts


def _counted(rows: QuerySet[Any], by: str) -> Counter[int]:
    return Counter(dict(rows.order_by().values_list(by).annotate(Count("pk"))))


def _add_cards(parts: dict[int, PoolPart], told: Callable[[int], bool]) -> None:
    now = timezone.now()
    nodes = Node.objects.exclude(admin_state=AdminState.RETIRED).order_by("name")
    for node in nodes.prefetch_related(Prefetch("devices", devices.with_holders())):
        parts[node.pool_id].cards.append(_card(node, told, now))


def _card(node: Node, told: Callable[[int], bool], now: datetime) -> NodeCard:
    cards = [devices.card(device, told, now) for device in node.devices.all()]
    return NodeCard(node, cards, devices.facts_of(node.facts))


def _add_troubled(parts: dict[int, PoolPart]) -> None:
    """Nodes that take no work, and why, those that an admin did not ask for first."""
    silent = ~Q(heartbeat_at__gt=alive_since()) | Q(heartbeat_at=None)
    nodes = Node.objects.exclude(admin_state=AdminState.RETIRED).filter(
        silent | Q(is_cordoned=True) | ~Q(health=Health.OK)
    )
    for node in nodes.defer("host").order_by("is_cordoned", "name"):
        part = parts[node.pool_id]
        part.num_troubled += 1
        if len(part.troubled) < TROUBLED_SHOWN:
            part.troubled.append(node)
