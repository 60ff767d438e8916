"""Summary of a run: the newest value of each metric, and values that the script sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Optional

from fourwalls.run_config import read_config

if TYPE_CHECKING:
    from fourwalls.writer import RowWriter


class Summary(MutableMapping[str, Any]):
    """`run.summary["best"] = 0.9`. Numbers become a metric of one point, or `summary/<name>` if the script logs a
    metric of that name; texts become tags `summary.<name>`."""

    def __init__(
        self,
        get_writer: Optional[Callable[[], Optional[RowWriter]]],
        send: Optional[Callable[[dict[str, Any]], None]] = None,
    ) -> None:
        object.__setattr__(self, "_own", {})
        object.__setattr__(self, "_get_writer", get_writer)
        object.__setattr__(self, "_send", send)

    def __getitem__(self, name: str) -> Any:
        if name in self._own:
            return self._own[name]
        return self.logged()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __delitem__(self, name: str) -> None:
        self._own.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter({**self.logged(), **self._own})

    def __len__(self) -> int:
        return len({**self.logged(), **self._own})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"The summary has no {name!r}.") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __repr__(self) -> str:
        return repr({**self.logged(), **self._own})

    def update(self, values: Any = None, **more: Any) -> None:  # type: ignore[override]
        new = {**(values if isinstance(values, Mapping) else {}), **more}
        new = read_config(new)
        self._own.update(new)
        if self._send and new:
            self._send(new)

    def logged(self) -> dict[str, float]:
        """The newest value of each logged metric."""
        writer = self._get_writer() if self._get_writer else None
        return writer.read_newest() if writer else {}
