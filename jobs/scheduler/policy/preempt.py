"""Whom the head of the queue may send back to the queue: who loses least by it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.scheduler.policy.free_devices import Board
from jobs.scheduler.policy.order import held_by_team
from jobs.scheduler.policy.snapshot import Running, Snapshot, Waiting


@dataclass(frozen=True)
class Preemption:
    attempt: int
    job: str
    by: str  # the job that gets the devices


@dataclass
class Site:
    """Where the gang might fit: one node, or nodes that may share a gang."""

    free: int
    coming: int = 0  # devices that are being given back, or will be in a moment
    attempts: dict[int, int] = field(default_factory=dict)  # candidate -> its devices here


def victims(snapshot: Snapshot, head: Waiting, board: Board) -> list[Preemption]:
    """The attempts to stop so that the head's gang fits on one site; nothing where devices that are being given
    back, or come free within the snapshot's patience, will do."""
    held = held_by_team(snapshot)
    candidates = {a.attempt: a for a in snapshot.running if _may_preempt(snapshot, head, a, held)}
    if not candidates:
        return []
    sites = _sites(snapshot, head, board, candidates)
    if any(site.free + site.coming >= head.num_devices for site in sites):
        return []
    found = [chosen for site in sites if (chosen := _cheapest(snapshot, head, site, candidates, held))]
    if not found:
        return []
    return [Preemption(a.attempt, a.job, head.job) for a in min(found, key=lambda c: _cost(snapshot, c))]


def loss_device_s(snapshot: Snapshot, attempt: Running) -> float:
    """What stopping it costs at the most: device-seconds since its last checkpoint."""
    return (snapshot.now - attempt.saved_at) * attempt.num_devices


def _may_preempt(snapshot: Snapshot, head: Waiting, attempt: Running, held: Counter[int]) -> bool:
    """A lower class always; the same class only to take back what the head's team is guaranteed from a team that
    borrows."""
    if not attempt.is_preemptible or attempt.is_stopping:
        return False
    if snapshot.now - attempt.began_at < snapshot.min_runtime_s:
        return False
    if attempt.priority != head.priority:
        return attempt.priority < head.priority
    is_own = held[head.team] + head.num_devices <= snapshot.share(head.team).guaranteed
    return (
        is_own and attempt.team != head.team and held[attempt.team] > snapshot.share(attempt.team).guaranteed
    )


def _sites(
    snapshot: Snapshot, head: Waiting, board: Board, candidates: Mapping[int, Running]
) -> Sequence[Site]:
    """One walk over what runs, however many nodes there are."""
    soon = snapshot.now + snapshot.patience_s
    coming: Counter[str] = Counter()
    here: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for attempt in snapshot.running:
        is_ending = attempt.is_stopping or (attempt.ends_at is not None and attempt.ends_at <= soon)
        for node, count in attempt.devices.items():
            if is_ending:
                coming[node] += count
            elif attempt.attempt in candidates:
                here[node][attempt.attempt] = count
    if not head.may_span_nodes:
        return [Site(free, coming[node], here[node]) for node, free in board.free.items()]
    groups: dict[str, Site] = {}
    for node, free in board.free.items():
        if group := board.groups.get(node):
            site = groups.setdefault(group, Site(0))
            site.free += free
            site.coming += coming[node]
            for number, count in here[node].items():
                site.attempts[number] = site.attempts.get(number, 0) + count
    return list(groups.values())


def _cheapest(
    snapshot: Snapshot, head: Waiting, site: Site, candidates: Mapping[int, Running], held: Counter[int]
) -> list[Running]:
    """Lowest class first, then least loss, until the gang fits; then nobody who was not needed after all. [] where
    it cannot fit."""
    here = site.attempts
    missing = head.num_devices - site.free
    if sum(here.values()) < missing:
        return []
    chosen: list[Running] = []
    borrowed = Counter(held)
    for attempt in sorted(
        (candidates[number] for number in here),
        key=lambda a: (a.priority, loss_device_s(snapshot, a), a.attempt),
    ):
        if missing <= 0:
            break
        guaranteed = snapshot.share(attempt.team).guaranteed
        if attempt.priority == head.priority and borrowed[attempt.team] <= guaranteed:
            continue  # this team keeps what it is guaranteed
        chosen.append(attempt)
        borrowed[attempt.team] -= attempt.num_devices
        missing -= here[attempt.attempt]
    if missing > 0:
        return []
    for attempt in sorted(chosen, key=lambda a: -loss_device_s(snapshot, a)):
        if missing + here[attempt.attempt] <= 0:
            chosen.remove(attempt)
            missing += here[attempt.attempt]
    return chosen


def _cost(snapshot: Snapshot, chosen: Sequence[Running]) -> tuple[int, float, int]:
    worst = max(a.priority for a in chosen)
    return worst, sum(loss_device_s(snapshot, a) for a in chosen), min(a.attempt for a in chosen)
