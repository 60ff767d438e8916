"""Free devices per node, as counts: finds a place without looking at every node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Allocation = Mapping[str, int]  # node -> devices of it


class FreeDevices:
    """Nodes that take work. Best fit: the node that is left with the fewest free devices; of those, the one that has
    had so many for longest, at first by name."""

    def __init__(self, free: Mapping[str, int], groups: Mapping[str, str]) -> None:
        """`groups`: of each node the set within which a gang may spread; '': none."""
        self.by_node = dict(free)
        self.groups = groups
        self.total = sum(self.by_node.values())
        # For each count the nodes that have so many free, as the keys of a dict: a set that keeps their order.
        self._nodes_by_count: dict[int, dict[str, None]] = {}
        for node, count in self.by_node.items():
            self._nodes_by_count.setdefault(count, {})[node] = None
        self._counts = sorted(self._nodes_by_count)

    def copy(self) -> FreeDevices:
        return FreeDevices(self.by_node, self.groups)

    def find(self, count: int, home: str | None = None, may_span: bool = False) -> Allocation | None:
        """Where `count` devices are free now: on `home` if they fit there, on one node, or (only if `may_span`) on
        as few nodes as possible. None: nowhere."""
        if count > self.total:
            return None
        if home is not None and self.by_node.get(home, 0) >= count:
            return {home: count}
        for free in self._counts:
            if free >= count and self._nodes_by_count[free]:
                return {next(iter(self._nodes_by_count[free])): count}
        return self._spread(count) if may_span else None

    def allocate(self, allocation: Allocation) -> None:
        for node, count in allocation.items():
            self._set(node, self.by_node[node] - count)

    def release(self, allocation: Allocation) -> None:
        """Nodes that take no work are passed by."""
        for node, count in allocation.items():
            if node in self.by_node:
                self._set(node, self.by_node[node] + count)

    def remove(self, nodes: Iterable[str]) -> Allocation:
        """Take nodes off the board; returns what was free on each."""
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
        together: dict[str, list[str]] = {}
        for node, free in self.by_node.items():
            if free and self.groups.get(node):
                together.setdefault(self.groups[node], []).append(node)
        for nodes in together.values():
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
