"""Thread that writes logged rows from memory to the spool."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Optional, Union

from fourwalls import frames, limits, values
from fourwalls.spool import FrameSpool
from fourwalls.throttled_log import ThrottledLog

QUEUE_LIMIT = 200_000  # log calls that wait for the disk, about 200 MB; further calls are dropped and counted
ROWS_PER_FRAME = 2_000
CLOSE_S = 5.0

log = logging.getLogger("fourwalls")

QueueItem = Union[frames.LogRow, tuple[str, dict[str, Any]]]


class RowWriter:
    """Writes `queue` (rows and messages, in order) to the spool; the caller counts dropped rows in `num_dropped`."""

    def __init__(self, spool: FrameSpool, every_s: float, fsync_s: float) -> None:
        self.queue: deque[QueueItem] = deque()
        self.num_dropped = 0
        self.has_data = threading.Event()  # more is on disk
        self._spool, self._every_s, self._fsync_s = spool, every_s, fsync_s
        self.store_file: Optional[Callable[[str, Any], None]] = None  # of logged media
        self.media_bytes = 0  # of files that wait in the queue
        self._newest: dict[str, float] = {}
        self._is_closing = threading.Event()
        self._good_names: set[str] = set()
        self._refused_names: set[str] = set()
        self._synced_at = time.monotonic()
        self._log = ThrottledLog()
        self._thread = threading.Thread(target=self._work, name="fourwalls-spool", daemon=True)
        self._thread.start()

    def flush(self, limit_s: float) -> bool:
        """Whether everything queued before is on disk now."""
        flushed = threading.Event()
        self.queue.append(("", {"mark": flushed}))
        return flushed.wait(limit_s)

    def close(self) -> bool:
        """Write everything to disk; return False if the disk does not respond."""
        self._is_closing.set()
        self._thread.join(CLOSE_S)
        return not self._thread.is_alive()

    def read_newest(self) -> dict[str, float]:
        """The newest value of each metric of the run, written or still in the queue."""
        waiting = [item for item in list(self.queue) if len(item) == 4 and item[3] == "run"]
        found = dict(self._newest)
        for row in waiting:
            found.update(row[2])
        return found

    def to_numbers(self, metrics: dict[str, Any]) -> dict[str, float]:
        """The numbers of one log() call; the names of other values are warned of."""
        numbers, refused = values.to_numbers(metrics)
        self.warn_refused(refused)
        return numbers

    def warn_refused(self, names: list[str]) -> None:
        """Warn once per name that its value is not logged."""
        if new := set(names) - self._refused_names:
            self._refused_names |= new
            log.warning(
                "Not logged (not a number, or not a valid name): %s", ", ".join(map(repr, sorted(new)))
            )

    def _work(self) -> None:
        while True:
            is_last = self._is_closing.is_set()
            try:
                self._drain(is_last)
            except Exception as error:  # noqa: BLE001 - training continues if logging fails
                self._log.warn(
                    "disk", "Logged rows wait in memory; %s cannot be written: %r", self._spool.folder, error
                )
            if is_last:
                return
            self._is_closing.wait(self._every_s)

    def _drain(self, is_last: bool) -> None:
        """Write the queue to disk; items leave it only after that."""
        while self.queue:
            items = [self.queue[index] for index in range(min(len(self.queue), ROWS_PER_FRAME))]
            num_rows = next((index for index, item in enumerate(items) if len(item) == 2), len(items))
            if num_rows:
                self._append_rows(items[:num_rows])  # type: ignore[arg-type]
            else:
                self._append_message(*items[0])
            for _ in range(num_rows or 1):
                self.queue.popleft()
            self.has_data.set()
        if is_last or time.monotonic() - self._synced_at >= self._fsync_s:
            self._spool.sync()
            self._synced_at = time.monotonic()

    def _append_message(self, kind: str, values: dict[str, Any]) -> None:
        if not kind:
            values["mark"].set()
            return
        if kind == "media":
            values = {"entries": self._store_media(values)}
        try:
            content = frames.encode_message(kind, values)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:  # must not block what follows
            self._log.warn(kind, "Not logged: %s that cannot be encoded: %r", kind, error)
            return
        self._spool.append(content)

    def _store_media(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Write the files of logged media beside the spool; an entry is only written after its files."""
        for name, content in values["files"]:
            if self.store_file:
                self.store_file(name, content)
        self.media_bytes -= values["size_bytes"]
        return values["entries"]

    def _append_rows(self, rows: list[frames.LogRow]) -> None:
        """Append rows, without those that cannot be decoded again, which would block everything behind them."""
        try:
            content = frames.encode_rows(rows)
            is_good = all(map(self._is_good, frames.decode_rows(content) or ()))
        except Exception:  # noqa: BLE001 - one bad row must not lose the others
            is_good = False
        for row in rows:
            if row[3] == "run":
                self._newest.update(row[2])
        if not is_good:
            content = frames.encode_rows([clean for row in rows if (clean := self._clean_row(row))])
        self._spool.append(content)

    def _is_good(self, row: frames.LogRow) -> bool:
        step, _, metrics, _ = row
        if new := metrics.keys() - self._good_names:
            if not all(map(values.is_metric_name, new)):
                return False
            self._good_names |= new
        return step is None or limits.FIRST_STEP <= step <= limits.LAST_STEP

    def _clean_row(self, row: frames.LogRow) -> frames.LogRow | None:
        step, at_us, metrics, source = row
        numbers, refused = values.to_numbers(metrics)
        is_step = step is None or (isinstance(step, int) and limits.FIRST_STEP <= step <= limits.LAST_STEP)
        self.warn_refused([*refused, *([] if is_step else ["step"])])
        return (step, at_us, numbers, source) if is_step and numbers else None
