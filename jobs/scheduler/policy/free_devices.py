"""Counts of free devices per node, with a fast best-fit search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jobs.scheduler.policy.snapshot import PoolSnapshot

Allocation = Mapping[str, int]  # node -> devices of it


class FreeDevices:
    """Free devices of the nodes that take work.

    Best fit: the node that is left with the fewest free devices. Among equals, the one whose count changed longest ago;
    at first, by name.
    """

    def __init__(self, free: Mapping[str, int], groups: Mapping[str, str]) -> None:
        """`free`: node -> free devices. `groups`: node -> group within which a gang may span nodes; '': none."""
        self.by_node = dict(free)
        self.groups = groups
        self.total = sum(self.by_node.values())
        # Count -> nodes with so many free devices, as keys of a dict, which is a set that keeps its order.
        self._nodes_by_count: dict[int, dict[str, None]] = {}
        for node, count in self.by_node.items():
            self._nodes_by_count.setdefault(count, {})[node] = None
        self._counts = sorted(self._nodes_by_count)

    def copy(self) -> FreeDevices:
        return FreeDevices(self.by_node, self.groups)

    def find(self, count: int, homes: Sequence[str] = (), may_span: bool = False) -> Allocation | None:
        """Return an allocation of `count` free devices; None if there is none.

        On the first of `homes` where they fit, else on one node, else (only if `may_span`) on as few nodes as possible.
        """
        if count > self.total:
            return None
        for home in homes:
            if self.by_node.get(home, 0) >= count:
                return {home: count}
        for free in self._counts:
            if free >= count and self._nodes_by_count[free]:
                return {next(iter(self._nodes_by_count[free])): count}
        return self._spread(count) if may_span else None

    def allocate(self, allocation: Allocation) -> None:
        for node, count in allocation.items():
            self._set(node, self.by_node[node] - count)

    def release(self, allocation: Allocation) -> None:
        """Return devices. Nodes that take no work are skipped."""
        for node, count in allocation.items():
            if node in self.by_node:
                self._set(node, self.by_node[node] + count)

    def remove(self, nodes: Iterable[str]) -> Allocation:
        """Set the free devices of nodes to zero. Returns the devices that were free."""
        removed = {node: self.by_node[node] for node in nodes}
        for node in removed:
            self._set(node, 0)
        return removed

    def _set(self, node: str, count: int) -> None:
        previous = self.by_node[node]
        self.total += count - previous
        self.by_node[node] = count
        del self._nodes_by_count[previous][node]
        if count not in self._nodes_by_count:
            self._nodes_by_count[count] = {}
            self._counts = sorted(self._nodes_by_count)
        self._nodes_by_count[count][node] = None

    def _spread(self, count: int) -> Allocation | None:
        by_group: dict[str, list[str]] = {}
        for node, free in self.by_node.items():
            if free and self.groups.get(node):
                by_group.setdefault(self.groups[node], []).append(node)
        for nodes in by_group.values():
            if sum(self.by_node[node] for node in nodes) >= count:
                return self._spread_over(nodes, count)
        return None

    def _spread_over(self, nodes: list[str], count: int) -> Allocation:
        allocation: dict[str, int] = {}
        for node in sorted(nodes, key=lambda node: -self.by_node[node]):
            allocation[node] = min(self.by_node[node], count)
            count -= allocation[node]
            if not count:
                break
        return allocation


def build_free_devices(snapshot: PoolSnapshot) -> FreeDevices:
    """Count the free devices of the nodes that take work."""
    free = {node.id: len(node.free) for node in snapshot.nodes if not node.closed_reason}
    return FreeDevices(free, {node.id: node.group for node in snapshot.nodes})
