"""Snapshot of one pool, the input of the scheduling policy.

Times are unix seconds. Nothing here reads the database. The structs are of msgspec, since there are many thousands:
creating one takes a fifth of the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from jobs.accounting.budget import MonthlyBudget
from jobs.scheduler.policy.reasons import WaitingReason


class NodeView(msgspec.Struct, frozen=True):
    """A node of the pool."""

    id: str
    name: str
    devices: int  # present ones
    free: tuple[str, ...] = ()  # device ids, by index
    closed_reason: str = ""  # cordoned, unreachable, ...; '' while it takes work
    group: str = ""  # nodes of one group may share a gang; '': no gang over nodes


class RunningAttempt(msgspec.Struct, frozen=True):
    """An attempt that holds devices."""

    attempt: int
    job: str
    team: int
    priority: int
    devices: Mapping[str, int]  # node -> devices held there
    ends_at: float | None  # latest end, by its time limit; None: past its time limit, so not known
    began_at: float
    saved_at: float  # time of its last checkpoint; began_at without one
    held_since: float = 0.0
    committed_device_s: float = (
        0.0  # most that it may use of its team's budget, from held_since to its time limit
    )
    is_preemptible: bool = True
    is_stopping: bool = False  # was asked to stop

    @property
    def num_devices(self) -> int:
        return sum(self.devices.values())


class WaitingJob(msgspec.Struct, frozen=True):
    """A job in the queue."""

    job: str
    team: int
    priority: int
    num_devices: int
    max_duration_s: float  # time limit plus the margin for its end
    since: float
    homes: tuple[str, ...] = ()  # nodes on which it should start, best first
    may_span_nodes: bool = False
    blocked: WaitingReason | None = None  # why it can start on no node, for example a checkpoint that is away


class TeamShare(msgspec.Struct, frozen=True):
    """A team's share in the pool."""

    name: str = ""
    weight: float = 1.0
    used_device_s: float = 0.0  # decayed
    guaranteed: int = 0
    borrowable: int | None = None  # devices beyond the guaranteed ones; None: no limit
    budgets: Mapping[str, MonthlyBudget] = {}  # device_s, j, money: those that are set

    @property
    def limit(self) -> int | None:
        return None if self.borrowable is None else self.guaranteed + self.borrowable


class PoolSnapshot(msgspec.Struct, frozen=True):
    """A pool with its nodes, running attempts, waiting jobs and shares at one moment."""

    now: float
    pool: str
    nodes: Sequence[NodeView]  # by name, including closed ones
    running: Sequence[RunningAttempt] = ()
    waiting: Sequence[WaitingJob] = ()
    shares: Mapping[int, TeamShare] = {}
    is_open: bool = True
    min_runtime_s: float = 300.0  # an attempt is not preempted earlier
    price_per_device_s: float = 0.0
    currency: str = ""
    month_ends_at: float | None = None  # when budgets are restored; None: no team has a budget
    patience_s: float = 60.0  # devices that become free within this time are awaited instead of preempted

    def share(self, team: int) -> TeamShare:
        return self.shares.get(team) or NO_SHARE


NO_SHARE = TeamShare()
