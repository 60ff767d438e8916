"""An admin who empties nodes and opens them again, whatever happens meanwhile."""

from __future__ import annotations

import random
import subprocess
import threading
from collections import Counter

from tests.chaos.cluster import Cluster

PAUSE_S = 5.0
DRAINED_S = (1.0, 5.0)
COMMAND_LIMIT_S = 30.0


class Admin(threading.Thread):
    """Drains one node at a time, by checkpoint and requeue. Goes home only once every node takes work again."""

    def __init__(self, cluster: Cluster, pick: random.Random) -> None:
        super().__init__(daemon=True)
        self.cluster, self.pick = cluster, pick
        self.counts: Counter[str] = Counter()
        self.go_home = threading.Event()

    def run(self) -> None:
        while not self.go_home.wait(PAUSE_S):
            node = self.pick.choice(list(self.cluster.nodes))
            self.counts["node drained"] += self._told("drain", node, "--policy=checkpoint", "--reason=storm")
            self.go_home.wait(self.pick.uniform(*DRAINED_S))
            while not self._told("uncordon", node) and not self._is_open(node):
                self.go_home.wait(1.0)

    def _told(self, verb: str, node: str, *more: str) -> bool:
        """False: it was refused, or the database is away; the drain may have happened all the same."""
        try:
            self.cluster.manage("node", verb, node, *more, limit_s=COMMAND_LIMIT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False
        return True

    def _is_open(self, name: str) -> bool:
        return any(node["name"] == name and not node["is_cordoned"] for node in self.cluster.nodes_now())
