"""What keeps a job from being looked at at all, however much is free: a closed pool, nodes, a quota, a budget."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from jobs.scheduler.policy.order import held_by_team
from jobs.scheduler.policy.reasons import Reason
from jobs.scheduler.policy.snapshot import Snapshot, Waiting


class Gates:
    """Counts what each team holds and may still use, with every job that is let through."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        # Asked for tens of thousands of times in one look at a long queue.
        self._limits = {t: share.limit for t, share in snapshot.shares.items() if share.limit is not None}
        self._budgeted = {t for t, share in snapshot.shares.items() if share.budgets}
        self.held = held_by_team(snapshot)
        self.committed: defaultdict[int, float] = defaultdict(float)
        for attempt in snapshot.running:
            self.committed[attempt.team] += attempt.committed_device_s
        opened = [node for node in snapshot.nodes if not node.closed_because]
        groups: Counter[str] = Counter()
        for node in opened:
            groups[node.group] += node.devices if node.group else 0
        self._largest = max((node.devices for node in opened), default=0)
        self._largest_group = max([self._largest, *groups.values()])

    def check(self, job: Waiting) -> Reason | None:
        """None: nothing but free devices is missing."""
        pool = self._snapshot.pool
        if not self._snapshot.is_open:
            return Reason("POOL_CLOSED", {"pool": pool})
        if job.num_devices > (self._largest_group if job.may_span_nodes else self._largest):
            return self._no_node(job)
        return self.check_team(job)

    def check_team(self, job: Waiting) -> Reason | None:
        return self._quota(job) or self.over_budget(job, self.committed)

    def enter(self, job: Waiting) -> None:
        self.held[job.team] += job.num_devices
        self.committed[job.team] += cost_device_s(job)

    def is_over_quota(self, job: Waiting, held: Counter[int]) -> bool:
        limit = self._limits.get(job.team)
        return limit is not None and held[job.team] + job.num_devices > limit

    def _no_node(self, job: Waiting) -> Reason:
        closed = Counter(
            node.closed_because
            for node in self._snapshot.nodes
            if node.closed_because and (job.may_span_nodes or node.devices >= job.num_devices)
        )
        if closed:
            values = {"pool": self._snapshot.pool, "need": job.num_devices, "largest": self._largest,
                      "nodes": dict(sorted(closed.items()))}  # fmt: skip
            return Reason("NODE_DRAINED", values)
        largest = self._largest_group if job.may_span_nodes else self._largest
        where = "nodes that may share a job" if job.may_span_nodes else "one node"
        values = {"pool": self._snapshot.pool, "need": job.num_devices, "largest": largest, "where": where}
        return Reason("NO_NODE", values)

    def _quota(self, job: Waiting) -> Reason | None:
        if not self.is_over_quota(job, self.held):
            return None
        share = self._snapshot.share(job.team)
        values = {
            "team": share.name,
            "held": self.held[job.team],
            "limit": share.limit,
            "need": job.num_devices,
        }
        return Reason("QUOTA", values)

    def over_budget(
        self, job: Waiting, committed: Mapping[int, float], is_next_month: bool = False
    ) -> Reason | None:
        """The first budget that is short for the whole time limit, beside what its team has `committed`
        (device-seconds): so a month's device-hours and their price are never exceeded, whatever runs at once. Nobody
        knows a job's joules before: an energy budget is short once it is used up."""
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
                return Reason("BUDGET", values)
        return None


def cost_device_s(job: Waiting) -> float:
    return job.num_devices * job.lasts_s
