"""The storm: every second something at random is killed or stopped, and what was stopped goes on later."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.cluster import REASSIGN_AFTER_S, Cluster

KINDS = (
    "web",
    "scheduler",
    "agent",
    "broker",
    "supervisor",
    "rank",
    "database",
    "node frozen",
    "node killed",
)
SHORT_STOP_S = (0.3, 4.0)
LONG_STOP_S = (REASSIGN_AFTER_S + 4.0, REASSIGN_AFTER_S + 12.0)  # long enough for attempts to be given up
WRITE_LOCK_S = (0.2, 1.5)
LONG_SHARE = 0.3
LATE_S = 15.0


@dataclass
class Storm:
    """Call `blow` as often as you like: it strikes once a second."""

    cluster: Cluster
    pick: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    _next_at: float = 0.0
    _frozen_until: float = 0.0  # one machine at a time: the others are to get on with the work
    _stopped: dict[int, float] = field(default_factory=dict)  # pid -> when it goes on

    def blow(self) -> None:
        self._go_on()
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + 1.0
        kinds = list(KINDS)
        self.pick.shuffle(kinds)
        next(kind for kind in kinds if self._strike(kind))

    def wipe_broker(self) -> None:
        self.cluster.wipe_broker()
        self.counts["broker wiped"] += 1

    def calm(self) -> None:
        """Everything that was stopped goes on."""
        self._go_on(everything=True)

    def _strike(self, kind: str) -> bool:
        """False: there is nothing of this kind just now."""
        if kind.startswith("node"):
            node = self.pick.choice(list(self.cluster.nodes))
            return self._freeze(node) if kind == "node frozen" else self._kill_node(node)
        if kind == "database" and self.cluster.server is None:
            self.counts["database locked"] += 1
            threading.Thread(target=self._hold_write_lock, args=(self.pick.uniform(*WRITE_LOCK_S),)).start()
            return True
        pids = sorted(set(self.cluster.pids(kind)))
        if not pids:
            return False
        pid = self.pick.choice(pids)
        if self.pick.random() < 0.5:
            self.counts[f"{kind} killed"] += _send(pid, signal.SIGKILL)
        else:
            is_long = kind in ("agent", "supervisor") and self.pick.random() < LONG_SHARE
            self._stop(
                [pid], time.monotonic() + self.pick.uniform(*(LONG_STOP_S if is_long else SHORT_STOP_S))
            )
            self.counts[f"{kind} stopped"] += 1
        return True

    def _freeze(self, node: str) -> bool:
        """A whole machine that sleeps: its agent, its supervisors and its ranks, past the time of reassignment."""
        agent, pids = self.cluster.agent_of(node), self.cluster.pids_on(node)
        if agent is None or not pids or time.monotonic() < self._frozen_until:
            return False
        until = time.monotonic() + self.pick.uniform(*LONG_STOP_S)
        # Now and then the attempts wake up later than their agent: its devices are given to others meanwhile.
        late_s = self.pick.choice((0.0, LATE_S))
        self._frozen_until = until + late_s
        self._stop([agent], until)
        self._stop(pids, until + late_s)
        self.counts["node frozen"] += 1
        return True

    def _kill_node(self, node: str) -> bool:
        """As when the power goes, and comes back: agent, supervisors and ranks at once."""
        agent, pids = self.cluster.agent_of(node), self.cluster.pids_on(node)
        if agent is None or not pids:
            return False
        for pid in (agent, *pids):
            _send(pid, signal.SIGKILL)
        self.counts["node killed"] += 1
        return True

    def _stop(self, pids: list[int], until: float) -> None:
        for pid in pids:
            if _send(pid, signal.SIGSTOP):
                self._stopped[pid] = max(until, self._stopped.get(pid, 0.0))

    def _go_on(self, everything: bool = False) -> None:
        for pid, until in list(self._stopped.items()):
            if everything or time.monotonic() >= until:
                del self._stopped[pid]
                _send(pid, signal.SIGCONT)

    def _hold_write_lock(self, seconds: float) -> None:
        with self.cluster.write_lock():
            time.sleep(seconds)


def _send(pid: int, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
