"""Admission of jobs: closed pools, missing nodes, quotas and budgets.

These keep a job waiting however many devices are free.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from jobs.scheduler.policy.order import count_held_by_team
from jobs.scheduler.policy.reasons import WaitingReason
from jobs.scheduler.policy.snapshot import PoolSnapshot, WaitingJob


class AdmissionControl:
    """Counts what each team holds and has committed, including the jobs admitted in this pass."""

    def __init__(self, snapshot: PoolSnapshot) -> None:
        self._snapshot = snapshot
        # Read tens of thousands of times in one pass over a long queue.
        self._limits = {t: share.limit for t, share in snapshot.shares.items() if share.limit is not None}
        self._budgeted = {t for t, share in snapshot.shares.items() if share.budgets}
        self.held = count_held_by_team(snapshot)
        self.committed: defaultdict[int, float] = defaultdict(float)
        for attempt in snapshot.running:
            self.committed[attempt.team] += attempt.committed_device_s
        open_nodes = [node for node in snapshot.nodes if not node.closed_reason]
        groups: Counter[str] = Counter()
        for node in open_nodes:
            groups[node.group] += node.devices if node.group else 0
        self._largest = max((node.devices for node in open_nodes), default=0)
        self._largest_group = max([self._largest, *groups.values()])

    def check(self, job: WaitingJob) -> WaitingReason | None:
        """Return why the job cannot start; None if it waits for nothing but free devices."""
        pool = self._snapshot.pool
        if not self._snapshot.is_open:
            return WaitingReason("POOL_CLOSED", {"pool": pool})
        if job.blocked is not None:
            return job.blocked
        if job.num_devices > (self._largest_group if job.may_span_nodes else self._largest):
            return self._no_node_reason(job)
        return self.check_team(job)

    def check_team(self, job: WaitingJob) -> WaitingReason | None:
        return self._quota_reason(job) or self.check_budget(job, self.committed)

    def admit(self, job: WaitingJob) -> None:
        self.held[job.team] += job.num_devices
        self.committed[job.team] += cost_device_s(job)

    def is_over_quota(self, job: WaitingJob, held: Counter[int]) -> bool:
        limit = self._limits.get(job.team)
        return limit is not None and held[job.team] + job.num_devices > limit

    def _no_node_reason(self, job: WaitingJob) -> WaitingReason:
        closed = Counter(
            node.closed_reason
            for node in self._snapshot.nodes
            if node.closed_reason and (job.may_span_nodes or node.devices >= job.num_devices)
        )
        if closed:
            values = {"pool": self._snapshot.pool, "need": job.num_devices, "largest": self._largest,
                      "nodes": dict(sorted(closed.items()))}  # fmt: skip
            return WaitingReason("NODE_DRAINED", values)
        largest = self._largest_group if job.may_span_nodes else self._largest
        where = "nodes that may share a job" if job.may_span_nodes else "one node"
        values = {"pool": self._snapshot.pool, "need": job.num_devices, "largest": largest, "where": where}
        return WaitingReason("NO_NODE", values)

    def _quota_reason(self, job: WaitingJob) -> WaitingReason | None:
        if not self.is_over_quota(job, self.held):
            return None
        share = self._snapshot.share(job.team)
        values = {
            "team": share.name,
            "held": self.held[job.team],
            "limit": share.limit,
            "need": job.num_devices,
        }
        return WaitingReason("QUOTA", values)

    def check_budget(
        self, job: WaitingJob, committed: Mapping[int, float], is_next_month: bool = False
    ) -> WaitingReason | None:
        """Return the first budget that does not cover the job's whole time limit, beside what its team has `committed`.

        `committed` is in device-seconds by team. So the device-hours of a month and their price are never exceeded,
        whatever runs at once. A job's energy is not known beforehand, so an energy budget is short only once it is used
        up.
        """
        if job.team not in self._budgeted:
            return None
        share = self._snapshot.share(job.team)
        for kind, budget in share.budgets.items():
            price = {"device_s": 1.0, "money": self._snapshot.price_per_device_s}.get(kind, 0.0)
            free = (budget.total if is_next_month else budget.remaining) - price * committed[job.team]
            need = price * cost_device_s(job)
            if need > free or free <= 0:
                values = {"team": share.name, "budget": kind, "left": free, "need": need, "whole": budget.total,
                          "currency": self._snapshot.currency}  # fmt: skip
                return WaitingReason("BUDGET", values)
        return None


def cost_device_s(job: WaitingJob) -> float:
    return job.num_devices * job.max_duration_s
