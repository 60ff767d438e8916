"""Random faults: every second something is killed or stopped, and stopped processes resume later."""

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
LONG_STOP_S = (REASSIGN_AFTER_S + 4.0, REASSIGN_AFTER_S + 12.0)  # long enough for attempts to be reassigned
WRITE_LOCK_S = (0.2, 1.5)
LONG_SHARE = 0.3
LATE_S = 15.0


@dataclass
class FaultInjector:
    """Injects one fault per second, however often `inject` is called."""

    cluster: Cluster
    rng: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    _next_at: float = 0.0
    _frozen_until: float = 0.0  # one node at a time, so that the others can work
    _stopped: dict[int, float] = field(default_factory=dict)  # pid -> time to resume

    def inject(self) -> None:
        self._resume_due()
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + 1.0
        kinds = list(KINDS)
        self.rng.shuffle(kinds)
        next(kind for kind in kinds if self._inject_kind(kind))

    def wipe_broker(self) -> None:
        self.cluster.wipe_broker()
        self.counts["broker wiped"] += 1

    def resume_processes(self) -> None:
        """Resume everything that was stopped."""
        self._resume_due(all_processes=True)

    def _inject_kind(self, kind: str) -> bool:
        """Return False if there is no process of this kind at present."""
        if kind.startswith("node"):
            node = self.rng.choice(list(self.cluster.nodes))
            return self._freeze(node) if kind == "node frozen" else self._kill_node(node)
        if kind == "database" and self.cluster.server is None:
            self.counts["database locked"] += 1
            threading.Thread(target=self._hold_write_lock, args=(self.rng.uniform(*WRITE_LOCK_S),)).start()
            return True
        pids = sorted(set(self.cluster.pids(kind)))
        if not pids:
            return False
        pid = self.rng.choice(pids)
        if self.rng.random() < 0.5:
            self.counts[f"{kind} killed"] += _send(pid, signal.SIGKILL)
        else:
            is_long = kind in ("agent", "supervisor") and self.rng.random() < LONG_SHARE
            self._stop(
                [pid], time.monotonic() + self.rng.uniform(*(LONG_STOP_S if is_long else SHORT_STOP_S))
            )
            self.counts[f"{kind} stopped"] += 1
        return True

    def _freeze(self, node: str) -> bool:
        """Stop a whole node (agent, supervisors, ranks) until its work is reassigned."""
        agent, pids = self.cluster.agent_of(node), self.cluster.pids_on(node)
        if agent is None or not pids or time.monotonic() < self._frozen_until:
            return False
        until = time.monotonic() + self.rng.uniform(*LONG_STOP_S)
        # Sometimes the attempts resume later than their agent, when their devices are already reassigned.
        late_s = self.rng.choice((0.0, LATE_S))
        self._frozen_until = until + late_s
        self._stop([agent], until)
        self._stop(pids, until + late_s)
        self.counts["node frozen"] += 1
        return True

    def _kill_node(self, node: str) -> bool:
        """Kill agent, supervisors and ranks at once, as in a power failure."""
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

    def _resume_due(self, all_processes: bool = False) -> None:
        for pid, until in list(self._stopped.items()):
            if all_processes or time.monotonic() >= until:
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
