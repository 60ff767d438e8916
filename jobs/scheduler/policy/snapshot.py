"""What the scheduler knows of one pool at one moment. Times are unix seconds; nothing here touches a database.

Structs of msgspec, since there are many thousands: each is made in a fifth of the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from jobs.accounting.budget import MonthlyBudget


class NodeView(msgspec.Struct, frozen=True):
    id: str
    name: str
    devices: int  # present ones
    free: tuple[str, ...] = ()  # device ids, by index
    closed_because: str = ""  # cordoned, unreachable, ...; '' while it takes work
    group: str = ""  # nodes of one group may share a gang; '': joins no gang over nodes


class Running(msgspec.Struct, frozen=True):
    """An attempt that holds devices."""

    attempt: int
    job: str
    team: int
    priority: int
    devices: Mapping[str, int]  # node -> devices held there
    ends_at: float | None  # at the latest, by its time limit; None: past it, so nobody knows
    began_at: float
    saved_at: float  # up to when its work is safe in a checkpoint; began_at without one
    held_since: float = 0.0
    committed_device_s: float = 0.0  # what it may cost its team's budget, from then to its time limit
    is_preemptible: bool = True
    is_stopping: bool = False  # asked to, by whomever

    @property
    def num_devices(self) -> int:
        return sum(self.devices.values())


class Waiting(msgspec.Struct, frozen=True):
    job: str
    team: int
    priority: int
    num_devices: int
    lasts_s: float  # at the most, by its time limit
    since: float
    home: str | None = None  # the node that keeps its checkpoints
    may_span_nodes: bool = False


class TeamShare(msgspec.Struct, frozen=True):
    """A team's part in the pool."""

    name: str = ""
    weight: float = 1.0
    used_device_s: float = 0.0  # decayed
    guaranteed: int = 0
    borrowable: int | None = None  # devices beyond the guaranteed ones; None: no limit
    budgets: Mapping[str, MonthlyBudget] = {}  # device_s, j, money: those that there are

    @property
    def limit(self) -> int | None:
        return None if self.borrowable is None else self.guaranteed + self.borrowable


class Snapshot(msgspec.Struct, frozen=True):
    now: float
    pool: str
    nodes: Sequence[NodeView]  # by name; closed ones too
    running: Sequence[Running] = ()
    waiting: Sequence[Waiting] = ()
    shares: Mapping[int, TeamShare] = {}
    is_open: bool = True
    min_runtime_s: float = 300.0  # nobody is preempted earlier
    price_per_device_s: float = 0.0
    currency: str = ""
    month_ends_at: float | None = None  # when budgets are whole again; None: nobody has one
    patience_s: float = 60.0  # devices that come free this soon are waited for, not preempted

    def share(self, team: int) -> TeamShare:
        return self.shares.get(team) or NO_SHARE


NO_SHARE = TeamShare()
