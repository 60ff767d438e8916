"""From memory to the spool: a thread that puts on disk what was logged, whatever the server does."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

from fourwalls import frames, limits, values
from fourwalls.saying import Sayer
from fourwalls.spool import Spool

QUEUE_LIMIT = (
    200_000  # log calls that wait for the disk: some 200 MB; what comes on top is dropped and counted
)
ROWS_A_FRAME = 2_000
CLOSE_S = 5.0

log = logging.getLogger("fourwalls")

Item = frames.Row | tuple[str, dict[str, Any]]


class Writer:
    """`queue` takes rows, and things to tell in their order; `num_dropped` is counted by who fills it."""

    def __init__(self, spool: Spool, every_s: float, fsync_s: float) -> None:
        self.queue: deque[Item] = deque()
        self.num_dropped = 0
        self.has_news = threading.Event()  # more is on disk
        self._spool, self._every_s, self._fsync_s = spool, every_s, fsync_s
        self._is_closing = threading.Event()
        self._good_names: set[str] = set()
        self._refused_names: set[str] = set()
        self._synced_at = time.monotonic()
        self._sayer = Sayer()
        self._thread = threading.Thread(target=self._work, name="fourwalls-spool", daemon=True)
        self._thread.start()

    def flush(self, limit_s: float) -> bool:
        """Whether everything that was put before is on disk now."""
        mark = threading.Event()
        self.queue.append(("", {"mark": mark}))
        return mark.wait(limit_s)

    def close(self) -> bool:
        """Everything to disk; False where the disk does not answer."""
        self._is_closing.set()
        self._thread.join(CLOSE_S)
        return not self._thread.is_alive()

    def refuse(self, names: list[str]) -> None:
        """Say once of each name that it is no metric."""
        if new := set(names) - self._refused_names:
            self._refused_names |= new
            log.warning(
                "Not logged, for they are no numbers, or no names: %s", ", ".join(map(repr, sorted(new)))
            )

    def _work(self) -> None:
        while True:
            is_last = self._is_closing.is_set()
            try:
                self._drain(is_last)
            except Exception as error:  # noqa: BLE001 - training goes on, whatever becomes of its log
                self._sayer.say(
                    "disk", "What is logged waits, for %s takes nothing: %r", self._spool.folder, error
                )
            if is_last:
                return
            self._is_closing.wait(self._every_s)

    def _drain(self, is_last: bool) -> None:
        """Items leave the queue only once they are on disk."""
        while self.queue:
            items = [self.queue[place] for place in range(min(len(self.queue), ROWS_A_FRAME))]
            told = next((place for place, item in enumerate(items) if len(item) == 2), len(items))
            if told:
                self._append_rows(items[:told])  # type: ignore[arg-type]
            else:
                self._append_told(*items[0])
            for _ in range(told or 1):
                self.queue.popleft()
            self.has_news.set()
        if is_last or time.monotonic() - self._synced_at >= self._fsync_s:
            self._spool.sync()
            self._synced_at = time.monotonic()

    def _append_told(self, what: str, told: dict[str, Any]) -> None:
        if what:
            self._spool.append(frames.of_told(what, told))
        else:
            told["mark"].set()

    def _append_rows(self, rows: list[frames.Row]) -> None:
        """What cannot be read back must never reach the spool: it would stop all that lies behind it."""
        try:
            content = frames.of_rows(rows)
            is_good = all(map(self._is_good, frames.rows_of(content) or ()))
        except Exception:  # noqa: BLE001 - one bad row must not take the others with it
            is_good = False
        if not is_good:
            content = frames.of_rows([clean for row in rows if (clean := self._cleaned(row))])
        self._spool.append(content)

    def _is_good(self, row: frames.Row) -> bool:
        step, _, metrics, _ = row
        if new := metrics.keys() - self._good_names:
            if not all(map(values.is_name, new)):
                return False
            self._good_names |= new
        return step is None or limits.FIRST_STEP <= step <= limits.LAST_STEP

    def _cleaned(self, row: frames.Row) -> frames.Row | None:
        step, at_us, metrics, source = row
        numbers, refused = values.plain(metrics)
        is_step = step is None or (isinstance(step, int) and limits.FIRST_STEP <= step <= limits.LAST_STEP)
        self.refuse([*refused, *([] if is_step else ["step"])])
        return (step, at_us, numbers, source) if is_step and numbers else None
