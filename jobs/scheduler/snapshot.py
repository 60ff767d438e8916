"""Snapshots of pools, read from the database with a constant number of queries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, F, Q
from django.utils import timezone

from jobs.accounting import charges
from jobs.accounting.budget import MonthlyBudget
from jobs.epoch import Epoch
from jobs.models import Attempt, Device, Job, Lease, Node, Pool, Share
from jobs.nodes import folders
from jobs.nodes.heartbeat import alive_since
from jobs.scheduler import locality
from jobs.scheduler.policy.snapshot import NodeView, PoolSnapshot, RunningAttempt, TeamShare, WaitingJob
from jobs.states.jobs import ATTEMPT_LIVE, JobState
from jobs.states.nodes import AdminState, DeviceHealth, Health

# Time from an attempt's time limit to its end, for the last checkpoint and the release of its devices.
END_MARGIN_S = 60.0
HAS_LIMIT = (
    Q(borrowable__isnull=False) | Q(monthly_budget_device_s__isnull=False)
    | Q(monthly_budget_j__isnull=False) | Q(monthly_budget_money__isnull=False)
)  # fmt: skip
USAGE_PERIOD_S = 300.0  # period after which the usage of running attempts is counted again


def take_snapshot(pool: Pool) -> PoolSnapshot:
    now = timezone.now()
    held_devices = _held_devices(pool)
    nodes = _without_promised(
        pool, _nodes(pool, {device for held in held_devices.values() for device in held})
    )
    waiting = _waiting(pool, nodes)
    # Read before the shares: an attempt that ends in between is counted twice, never missed.
    running = _running(pool, now, held_devices)
    shares = _shares(pool, now, running)
    return PoolSnapshot(
        now=now.timestamp(),
        pool=pool.name,
        is_open=pool.is_open,
        nodes=nodes,
        running=running,
        waiting=waiting,
        shares=shares,
        **_prices(pool, now, shares),
        min_runtime_s=settings.PREEMPT_AFTER_S,
        patience_s=END_MARGIN_S,
    )


def take_team_snapshot(pool: Pool, teams: Iterable[int]) -> PoolSnapshot:
    """Return a snapshot for checking quotas and budgets of some teams; empty if they have none."""
    now = timezone.now()
    held = list(Share.objects.filter(HAS_LIMIT, pool=pool, team__in=teams).values_list("team_id", flat=True))
    if not held:
        return PoolSnapshot(now.timestamp(), pool.name, nodes=())
    rows = _live_rows(pool).filter(job__team__in=held)
    running = [_build_running(now.timestamp(), {str(n): str(n) for n in range(row[7])}, *row) for row in rows]
    shares = _shares(pool, now, running)
    prices = _prices(pool, now, shares)
    return PoolSnapshot(now.timestamp(), pool.name, nodes=(), running=running, shares=shares, **prices)


def max_duration_s(time_limit_s: int) -> float:
    return time_limit_s + END_MARGIN_S


def _nodes(pool: Pool, held: set[str]) -> list[NodeView]:
    is_alive = ExpressionWrapper(Q(heartbeat_at__gt=alive_since()), output_field=BooleanField())
    rows = Node.objects.filter(pool=pool).annotate(is_alive=is_alive).order_by("name", "id")
    devices: defaultdict[str, list[str]] = defaultdict(list)
    # The facts of a thousand nodes are much JSON, so they are read only if needed.
    columns = ["id", "name", "admin_state", "health", *(["facts"] if pool.allows_several_nodes else [])]
    kinds: dict[str, str] = {}
    usable = Device.objects.filter(node__pool=pool, is_present=True, health=DeviceHealth.OK)
    for device, node, kind in usable.order_by("node", "index").values_list("id", "node_id", "kind"):
        devices[node].append(device)
        kinds[node] = kind
    return [
        NodeView(
            id=node.id,
            name=node.name,
            devices=len(devices[node.id]),
            free=tuple(device for device in devices[node.id] if device not in held),
            closed_reason=_closed_reason(node, bool(node.is_alive)),
            group=_group(pool, node, kinds.get(node.id, "")),
        )
        for node in rows.only(*columns)
    ]


def _without_promised(pool: Pool, nodes: list[NodeView]) -> list[NodeView]:
    """Keep the devices that a drain has promised to jobs that are still stopping from all others."""
    if all(node.closed_reason != AdminState.DRAINING for node in nodes):
        return nodes
    stopping = Job.objects.filter(pool=pool, state=JobState.STOPPING, preferred_node__isnull=False)
    promised: Counter[str] = Counter()
    for node, num_devices in stopping.values_list("preferred_node", "num_devices"):
        promised[node] += num_devices
    return [
        msgspec.structs.replace(node, free=node.free[: max(0, len(node.free) - promised[node.id])])
        for node in nodes
    ]


def _group(pool: Pool, node: Node, kind: str) -> str:
    """Return the gang group of a node: nodes can share a gang if device kind and checkpoint folder are the same."""
    root = folders.root_of(node.facts) if pool.allows_several_nodes else ""
    return f"{kind} {root}" if root else ""


def _closed_reason(node: Node, is_alive: bool) -> str:
    if node.admin_state != AdminState.OPEN:
        return str(node.admin_state)
    if node.health == Health.STOPPED:
        return str(Health.STOPPED)
    if not is_alive:
        return str(Health.UNREACHABLE)
    return "suspect" if node.health == Health.SUSPECT else ""


def _held_devices(pool: Pool) -> dict[int, dict[str, str]]:
    """Return the held devices: attempt -> device -> node."""
    held_devices: defaultdict[int, dict[str, str]] = defaultdict(dict)
    leases = Lease.objects.filter(is_active=True, device__node__pool=pool)
    for attempt, device, node in leases.values_list("attempt_id", "device_id", "device__node_id"):
        held_devices[attempt][device] = node
    return held_devices


def _running(pool: Pool, now: datetime, held_devices: dict[int, dict[str, str]]) -> list[RunningAttempt]:
    return [_build_running(now.timestamp(), held_devices.get(row[0], {}), *row) for row in _live_rows(pool)]


def _live_rows(pool: Pool) -> Any:
    """Return live attempts as tuples, since thousands of model objects would take half of a tick."""
    return (
        Attempt.objects.filter(state__in=ATTEMPT_LIVE, job__pool=pool)
        .order_by()
        .values_list(
            "id", Epoch("assigned_at"), Epoch("started_at"), Epoch("checkpoint_at"), "job_id", "job__team_id",
            "job__priority", "job__num_devices", "job__time_limit_s", "job__is_preemptible", "job__state",
            Epoch("job__stopping_since"),
        )
    )  # fmt: skip


def _build_running(
    now_s: float, held_devices: dict[str, str], attempt: int, held_since: float, started_at: float | None,
    checkpoint_at: float | None, job: str, team: int, priority: int, num_devices: int, time_limit_s: int,
    is_preemptible: bool, state: str, stopping_since: float | None,
) -> RunningAttempt:  # fmt: skip
    began_at = started_at or held_since
    is_stopping = state == JobState.STOPPING
    ends_at = began_at + max_duration_s(time_limit_s)
    if is_stopping and stopping_since:
        ends_at = min(ends_at, stopping_since + END_MARGIN_S)
    return RunningAttempt(
        attempt=attempt,
        job=job,
        team=team,
        priority=priority,
        devices=Counter(held_devices.values())
        if len(held_devices) > 1
        else dict.fromkeys(held_devices.values(), 1),
        ends_at=ends_at if ends_at > now_s else None,
        began_at=began_at,
        saved_at=checkpoint_at or began_at,
        held_since=held_since,
        committed_device_s=num_devices * (max(now_s, ends_at) - held_since),
        is_preemptible=is_preemptible,
        is_stopping=is_stopping,
    )


def build_waiting_job(job: Job) -> WaitingJob:
    """Return the waiting job as the policy sees it."""
    since = job.queue_key.timestamp()
    return WaitingJob(
        job.id, job.team_id, job.priority, job.num_devices, max_duration_s(job.time_limit_s), since
    )


def _waiting(pool: Pool, nodes: Sequence[NodeView]) -> list[WaitingJob]:
    """Return the waiting jobs. Only a gang larger than every open node may span nodes."""
    rows = Job.objects.filter(pool=pool, state=JobState.QUEUED).order_by()
    located = locality.find_localities(rows)
    largest = max((node.devices for node in nodes if not node.closed_reason), default=0)
    return [
        WaitingJob(
            job,
            team,
            priority,
            num_devices,
            max_duration_s(limit_s),
            since,
            locality.list_homes(located.get(job), preferred),
            pool.allows_several_nodes and num_devices > largest,
            locality.waiting_reason(located.get(job)),
        )
        for job, team, priority, num_devices, limit_s, since, preferred in rows.values_list(
            "id", "team_id", "priority", "num_devices", "time_limit_s", Epoch("queue_key"), "preferred_node"
        )
    ]


def _shares(pool: Pool, now: datetime, running: Iterable[RunningAttempt]) -> dict[int, TeamShare]:
    """Return the shares of teams that have a row or hold devices.

    Devices held now count as used up to the end of the current period. So running attempts count before they end, and
    the order of the queue does not change every second (with 8,000 devices held, thousands of jobs changed positions
    between two ticks).
    """
    period_end_s = now.timestamp() // USAGE_PERIOD_S * USAGE_PERIOD_S + USAGE_PERIOD_S
    period_end = datetime.fromtimestamp(period_end_s, UTC)
    holding: Counter[int] = Counter()
    for attempt in running:
        holding[attempt.team] += round(attempt.num_devices * (period_end_s - attempt.held_since))
    rows = {share.team_id: share for share in Share.objects.filter(pool=pool).select_related("team")}
    running_j = _running_j(pool, [share for share in rows.values() if _counts_energy(share)])
    tariff_per_j = (pool.tariff_per_kwh or 0.0) / charges.J_PER_KWH
    return {
        team: _share(
            rows[team],
            period_end,
            holding[team],
            charges.monthly_budgets(rows[team], now, running_j[team], tariff_per_j),
        )
        if team in rows
        else TeamShare(used_device_s=holding[team])
        for team in rows.keys() | holding.keys()
    }


def _share(
    share: Share, period_end: datetime, held_device_s: float, budgets: Mapping[str, MonthlyBudget]
) -> TeamShare:
    return TeamShare(
        name=share.team.name,
        weight=share.weight,
        used_device_s=charges.decayed_device_s(share, period_end) + held_device_s,
        guaranteed=share.guaranteed,
        borrowable=share.borrowable,
        budgets=budgets,
    )


def _counts_energy(share: Share) -> bool:
    return share.monthly_budget_j is not None or share.monthly_budget_money is not None


def _running_j(pool: Pool, shares: Sequence[Share]) -> Mapping[int, float]:
    """Return team -> joules used by its running attempts, as far as their devices are measured.

    The newest reading of a device counts joules since its attempt began. One query, none without a budget for energy.
    """
    found: defaultdict[int, float] = defaultdict(float)
    if not shares:
        return found
    held = Lease.objects.filter(
        is_active=True, attempt__job__pool=pool, attempt__job__team__in=[share.team_id for share in shares],
        device__latest_at__gt=F("began_at"),
    )  # fmt: skip
    for team, latest in held.values_list("attempt__job__team_id", "device__latest"):
        found[team] += latest.get("metrics", {}).get("energy_j") or 0.0
    return found


def _prices(pool: Pool, now: datetime, shares: Mapping[int, TeamShare]) -> dict[str, Any]:
    """Return the prices and the end of the month; empty if no team has a budget."""
    if not any(share.budgets for share in shares.values()):
        return {}
    return {
        "price_per_device_s": (pool.price_per_device_hour or 0.0) / 3600,
        "currency": pool.currency,
        "month_ends_at": charges.end_of_month(now).timestamp(),
    }
