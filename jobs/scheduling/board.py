"""Free devices per node, as counts: finds a place without looking at every node."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

Places = Mapping[str, int]  # node -> devices of it


class Board:
    """Nodes that take work. Best fit: the node that is left with the fewest free devices, then the first by name."""

    def __init__(self, free: Mapping[str, int], groups: Mapping[str, str]) -> None:
        """`groups`: of each node the set within which a gang may spread; '': none."""
        self.free = dict(free)
        self.groups = groups
        self.total = sum(self.free.values())
        self._rank = {node: rank for rank, node in enumerate(self.free)}
        # For each count, a heap of the nodes that have had so many free; stale entries are dropped when met.
        self._with: dict[int, list[tuple[int, str]]] = {}
        for node, count in self.free.items():  # in the order of rank, so each list is a heap already
            self._with.setdefault(count, []).append((self._rank[node], node))
        self._counts = sorted(self._with)

    def copy(self) -> Board:
        return Board(self.free, self.groups)

    def find(self, count: int, home: str | None = None, may_span: bool = False) -> Places | None:
        """Where `count` devices are free now: on `home` if they fit there, on one node, or (only if `may_span`) on
        as few nodes as possible. None: nowhere."""
        if count > self.total:
            return None
        if home is not None and self.free.get(home, 0) >= count:
            return {home: count}
        for free in self._counts:
            if free >= count and (node := self._first_with(free)) is not None:
                return {node: count}
        return self._spread(count) if may_span else None

    def take(self, places: Places) -> None:
        for node, count in places.items():
            self._set(node, self.free[node] - count)

    def give(self, places: Places) -> None:
        """Nodes that take no work are passed by."""
        for node, count in places.items():
            if node in self.free:
                self._set(node, self.free[node] + count)

    def remove(self, nodes: Iterable[str]) -> Places:
        """Take nodes off the board; returns what was free on each."""
        removed = {node: self.free[node] for node in nodes}
        for node in removed:
            self._set(node, 0)
        return removed

    def _set(self, node: str, count: int) -> None:
        self.total += count - self.free[node]
        self.free[node] = count
        if count not in self._with:
            self._with[count] = []
            self._counts = sorted(self._with)
        heapq.heappush(self._with[count], (self._rank[node], node))

    def _first_with(self, count: int) -> str | None:
        heap = self._with[count]
        while heap and self.free[heap[0][1]] != count:
            heapq.heappop(heap)
        return heap[0][1] if heap else None

    def _spread(self, count: int) -> Places | None:
        together: dict[str, list[str]] = {}
        for node, free in self.free.items():
            if free and self.groups.get(node):
                together.setdefault(self.groups[node], []).append(node)
        for nodes in together.values():
            if sum(self.free[node] for node in nodes) >= count:
                return self._fewest(nodes, count)
        return None

    def _fewest(self, nodes: list[str], count: int) -> Places:
        places: dict[str, int] = {}
        for node in sorted(nodes, key=lambda node: -self.free[node]):
            places[node] = min(self.free[node], count)
            count -= places[node]
            if not count:
                break
        return places
