"""Choice of the attempts that the head of the queue preempts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.scheduler.policy.free_devices import FreeDevices
from jobs.scheduler.policy.order import count_held_by_team
from jobs.scheduler.policy.snapshot import PoolSnapshot, RunningAttempt, WaitingJob


@dataclass(frozen=True)
class Preemption:
    attempt: int
    job: str
    by: str  # the job that gets the devices


@dataclass
class NodeGroup:
    """One node, or a group of nodes that may share a gang."""

    free: int
    releasing: int = 0  # devices that are being released, or will be soon
    attempts: dict[int, int] = field(default_factory=dict)  # candidate -> its devices in this group


def choose_victims(snapshot: PoolSnapshot, head: WaitingJob, free_devices: FreeDevices) -> list[Preemption]:
    """Return the preemptions that let the head's gang fit into one node group, with the least loss.

    Empty if devices that are being released, or become free within the snapshot's patience, are enough.
    """
    held = count_held_by_team(snapshot)
    candidates = {a.attempt: a for a in snapshot.running if _may_preempt(snapshot, head, a, held)}
    if not candidates:
        return []
    groups = _node_groups(snapshot, head, free_devices, candidates)
    if any(group.free + group.releasing >= head.num_devices for group in groups):
        return []
    options = [chosen for group in groups if (chosen := _cheapest(snapshot, head, group, candidates, held))]
    if not options:
        return []
    return [Preemption(a.attempt, a.job, head.job) for a in min(options, key=lambda c: _cost(snapshot, c))]


def loss_device_s(snapshot: PoolSnapshot, attempt: RunningAttempt) -> float:
    """Return the largest loss of stopping an attempt: device-seconds since its last checkpoint."""
    return (snapshot.now - attempt.saved_at) * attempt.num_devices


def _may_preempt(
    snapshot: PoolSnapshot, head: WaitingJob, attempt: RunningAttempt, held: Counter[int]
) -> bool:
    """Whether the head may preempt an attempt.

    A lower class always. The same class only if the head's team is within its guarantee and the other team borrows.
    """
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


def _node_groups(
    snapshot: PoolSnapshot,
    head: WaitingJob,
    free_devices: FreeDevices,
    candidates: Mapping[int, RunningAttempt],
) -> Sequence[NodeGroup]:
    """Return the node groups with their free devices and candidates, in one pass over the running attempts."""
    deadline = snapshot.now + snapshot.patience_s
    releasing: Counter[str] = Counter()
    attempts_here: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for attempt in snapshot.running:
        is_ending = attempt.is_stopping or (attempt.ends_at is not None and attempt.ends_at <= deadline)
        for node, count in attempt.devices.items():
            if is_ending:
                releasing[node] += count
            elif attempt.attempt in candidates:
                attempts_here[node][attempt.attempt] = count
    if not head.may_span_nodes:
        return [
            NodeGroup(free, releasing[node], attempts_here[node])
            for node, free in free_devices.by_node.items()
        ]
    groups: dict[str, NodeGroup] = {}
    for node, free in free_devices.by_node.items():
        if name := free_devices.groups.get(node):
            group = groups.setdefault(name, NodeGroup(0))
            group.free += free
            group.releasing += releasing[node]
            for number, count in attempts_here[node].items():
                group.attempts[number] = group.attempts.get(number, 0) + count
    return list(groups.values())


def _cheapest(
    snapshot: PoolSnapshot,
    head: WaitingJob,
    group: NodeGroup,
    candidates: Mapping[int, RunningAttempt],
    held: Counter[int],
) -> list[RunningAttempt]:
    """Return the cheapest candidates to stop in one group; [] if the gang cannot fit there.

    Takes the lowest class first, then the least loss, until the gang fits. Then drops those that are not needed,
    largest loss first.
    """
    attempts_here = group.attempts
    missing = head.num_devices - group.free
    if sum(attempts_here.values()) < missing:
        return []
    chosen: list[RunningAttempt] = []
    borrowed = Counter(held)
    for attempt in sorted(
        (candidates[number] for number in attempts_here),
        key=lambda a: (a.priority, loss_device_s(snapshot, a), a.attempt),
    ):
        if missing <= 0:
            break
        guaranteed = snapshot.share(attempt.team).guaranteed
        if attempt.priority == head.priority and borrowed[attempt.team] <= guaranteed:
            continue  # the team keeps its guarantee
        chosen.append(attempt)
        borrowed[attempt.team] -= attempt.num_devices
        missing -= attempts_here[attempt.attempt]
    if missing > 0:
        return []
    for attempt in sorted(chosen, key=lambda a: -loss_device_s(snapshot, a)):
        if missing + attempts_here[attempt.attempt] <= 0:
            chosen.remove(attempt)
            missing += attempts_here[attempt.attempt]
    return chosen


def _cost(snapshot: PoolSnapshot, chosen: Sequence[RunningAttempt]) -> tuple[int, float, int]:
    worst = max(a.priority for a in chosen)
    return worst, sum(loss_device_s(snapshot, a) for a in chosen), min(a.attempt for a in chosen)
