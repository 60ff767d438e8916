"""Order of the queue: priority class, then fair share of the team, then age."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping

from jobs.scheduler.policy.snapshot import PoolSnapshot, WaitingJob


def order_jobs(snapshot: PoolSnapshot, held_by_team: Mapping[int, int] | None = None) -> list[WaitingJob]:
    """Return all waiting jobs in order, by weighted fair queueing within each priority class. `held_by_team`: devices;
    None for those of the running attempts.

    Each ordered job is charged to its team at once, with devices x time limit, so that teams take turns: a team without
    usage does not get all its jobs before the first job of the next team. Jobs within their team's guarantee come
    before all that borrow.
    """
    held = count_held_by_team(snapshot) if held_by_team is None else Counter(held_by_team)
    used = {team: snapshot.share(team).used_device_s for team in {job.team for job in snapshot.waiting}}
    ordered: list[WaitingJob] = []
    for queues in _by_priority(snapshot):
        turns = [_sort_key(snapshot, jobs[-1], used, held) for jobs in queues.values()]
        heapq.heapify(turns)
        while turns:
            *_, team = heapq.heappop(turns)
            job = queues[team].pop()
            ordered.append(job)
            used[team] += job.num_devices * job.max_duration_s
            held[team] += job.num_devices
            if queues[team]:
                heapq.heappush(turns, _sort_key(snapshot, queues[team][-1], used, held))
    return ordered


def count_held_by_team(snapshot: PoolSnapshot) -> Counter[int]:
    held: Counter[int] = Counter()
    for attempt in snapshot.running:
        held[attempt.team] += attempt.num_devices
    return held


def _by_priority(snapshot: PoolSnapshot) -> list[dict[int, list[WaitingJob]]]:
    """Return the priority classes, highest first: team -> its jobs, the oldest last."""
    classes: dict[int, dict[int, list[WaitingJob]]] = defaultdict(lambda: defaultdict(list))
    for job in sorted(snapshot.waiting, key=lambda job: (job.since, job.job), reverse=True):
        classes[job.priority][job.team].append(job)
    return [classes[priority] for priority in sorted(classes, reverse=True)]


def _sort_key(
    snapshot: PoolSnapshot, job: WaitingJob, used: dict[int, float], held: Counter[int]
) -> tuple[bool, float, float, str, int]:
    share = snapshot.share(job.team)
    borrows = held[job.team] + job.num_devices > share.guaranteed
    return borrows, used[job.team] / share.weight, job.since, job.job, job.team
