"""Free devices per node, as counts: finds a place without looking at every node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Places = Mapping[str, int]  # node -> devices of it


class Board:
    """Nodes that take work. Best fit: the node that is left with the fewest free devices; of those, the one that has
    had so many for longest, at first by name."""

    def __init__(self, free: Mapping[str, int], groups: Mapping[str, str]) -> None:
        """`groups`: of each node the set within which a gang may spread; '': none."""
        self.free = dict(free)
        self.groups = groups
        self.total = sum(self.free.values())
        # For each count the nodes that have so many free, as the keys of a dict: a set that keeps their order.
        self._with: dict[int, dict[str, None]] = {}
        for node, count in self.free.items():
            self._with.setdefault(count, {})[node] = None
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
            if free >= count and self._with[free]:
                return {next(iter(self._with[free])): count}
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
        before = self.free[node]
        self.total += count - before
        self.free[node] = count
        del self._with[before][node]
        if count not in self._with:
            self._with[count] = {}
            self._counts = sorted(self._with)
        self._with[count][node] = None

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
