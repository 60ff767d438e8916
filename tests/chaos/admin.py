"""Admin thread that drains and reopens nodes during the chaos tests."""

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
    """Drains one node at a time, by checkpoint and requeue; ends only once every node accepts work again."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.cluster, self.rng = cluster, rng
        self.counts: Counter[str] = Counter()
        self.stop_requested = threading.Event()

    def run(self) -> None:
        while not self.stop_requested.wait(PAUSE_S):
            node = self.rng.choice(list(self.cluster.nodes))
            self.counts["node drained"] += self._run_node_command(
                "drain", node, "--policy=checkpoint", "--reason=chaos"
            )
            self.stop_requested.wait(self.rng.uniform(*DRAINED_S))
            while not self._run_node_command("uncordon", node) and not self._is_open(node):
                self.stop_requested.wait(1.0)

    def _run_node_command(self, verb: str, node: str, *options: str) -> bool:
        """Return False if the command failed or timed out; the drain may still have happened."""
        try:
            self.cluster.manage("node", verb, node, *options, limit_s=COMMAND_LIMIT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False
        return True

    def _is_open(self, name: str) -> bool:
        return any(node["name"] == name and not node["is_cordoned"] for node in self.cluster.nodes_now())
