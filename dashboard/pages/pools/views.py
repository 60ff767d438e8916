"""Pools page: map of all devices, and each pool with its nodes."""

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
from jobs.nodes.occupants import devices_with_leases
from jobs.states.jobs import JobState
from jobs.states.nodes import AdminState, Health

CARDS_LIMIT = 6  # largest number of nodes whose devices are shown as cards
UNAVAILABLE_SHOWN = 12  # unavailable nodes shown per pool
# Default ranks of a fabric test: enough for rings and trees to differ. The form allows other numbers.
TEST_RANKS = 8


@dataclass(frozen=True)
class NodeCard:
    node: Node
    devices: list[devices.DeviceCard]
    facts: list[tuple[str, Any]]


@dataclass
class PoolSummary:
    pool: Pool
    num_waiting: int
    num_nodes: int = 0
    num_devices: int = 0
    num_held: int = 0
    num_unused: int = 0  # held devices that are idle
    num_unavailable: int = 0
    cards: list[NodeCard] = field(default_factory=list)
    unavailable: list[Node] = field(default_factory=list)  # nodes that take no jobs

    @property
    def fabric_test_address(self) -> str:
        """Address of the submit form for a fabric test of this pool; '' if a job may not use two devices."""
        ranks = min(self.num_devices, self.pool.max_gang or TEST_RANKS, TEST_RANKS)
        if ranks < 2:
            return ""
        changes = ("kind=fabric_test", f"pool={self.pool.name}", f"parallel.data={ranks}")
        return f"{reverse('submit')}?{urlencode([('set', change) for change in changes])}"


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    summaries = _summarise_pools()
    if sum(summary.num_nodes for summary in summaries.values()) <= CARDS_LIMIT:
        _add_cards(summaries, get_scope(request).can_see_details)
    else:
        _add_unavailable_nodes(summaries)
    context = {"pools": list(summaries.values()), "is_admin": get_scope(request).is_admin}
    return render(
        request, "pools/_list.html" if request.headers.get("HX-Request") else "pools/page.html", context
    )


@require_safe
@gzip_page  # safe from BREACH: the response mixes no secret with input of others
def map_data(request: HttpRequest) -> HttpResponse:
    """Return the data of the map as JSON."""
    return json_reply(pool_map.build_map(get_scope(request).can_see_details))


def _summarise_pools() -> dict[int, PoolSummary]:
    waiting = Count("jobs", filter=Q(jobs__state=JobState.QUEUED))
    pools = Pool.objects.order_by("name").annotate(num_waiting=waiting).prefetch_related("allowed_teams")
    summaries = {pool.id: PoolSummary(pool, pool.num_waiting) for pool in pools}
    nodes = _count_by(Node.objects.exclude(admin_state=AdminState.RETIRED), "pool")
    devices_by_pool = _count_by(Device.objects.filter(is_present=True), "node__pool")
    held = _count_by(Lease.objects.filter(is_active=True), "device__node__pool")
    unused = _count_by(utilisation.unused_leases(timezone.now()), "device__node__pool")
    for pool, summary in summaries.items():
        summary.num_unused = unused[pool]
        summary.num_nodes, summary.num_devices, summary.num_held = (
            nodes[pool],
            devices_by_pool[pool],
            held[pool],
        )
    return summaries


def _count_by(rows: QuerySet[Any], by: str) -> Counter[int]:
    return Counter(dict(rows.order_by().values_list(by).annotate(Count("pk"))))


def _add_cards(summaries: dict[int, PoolSummary], can_see: Callable[[int], bool]) -> None:
    now = timezone.now()
    nodes = Node.objects.exclude(admin_state=AdminState.RETIRED).order_by("name")
    for node in nodes.prefetch_related(Prefetch("devices", devices_with_leases())):
        summaries[node.pool_id].cards.append(_build_card(node, can_see, now))


def _build_card(node: Node, can_see: Callable[[int], bool], now: datetime) -> NodeCard:
    cards = [devices.build_card(device, can_see, now) for device in node.devices.all()]
    return NodeCard(node, cards, devices.list_facts(node.facts))


def _add_unavailable_nodes(summaries: dict[int, PoolSummary]) -> None:
    """Add nodes that take no jobs; nodes that no admin has closed come first."""
    silent = ~Q(heartbeat_at__gt=alive_since()) | Q(heartbeat_at=None)
    nodes = Node.objects.exclude(admin_state=AdminState.RETIRED).filter(
        silent | Q(is_cordoned=True) | ~Q(health=Health.OK)
    )
    for node in nodes.defer("host").order_by("is_cordoned", "name"):
        summary = summaries[node.pool_id]
        summary.num_unavailable += 1
        if len(summary.unavailable) < UNAVAILABLE_SHOWN:
            summary.unavailable.append(node)
