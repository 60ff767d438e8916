"""Part of a run that logs numbers and media by step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Optional

from fourwalls import limits, values
from fourwalls.described_run import DescribedRun
from fourwalls.media import entries
from fourwalls.throttled_log import ThrottledLog
from fourwalls.writer import QUEUE_LIMIT, RowWriter


class LoggingRun(DescribedRun):
    """Log calls. They put rows into the queue of the writer."""

    _log: ThrottledLog
    _last_texts: dict[str, str]

    def log(
        self,
        data: Mapping[str, Any],
        step: Optional[int] = None,
        commit: Optional[bool] = None,
        *,
        at: Optional[float] = None,
        sync: Any = None,
    ) -> None:
        """Log numbers and media of one step, nested or not; without `step`, of the step after the last. With `commit`
        False the next call adds to the same step. `at` is in unix seconds, by default now. Never waits or raises; what
        cannot be logged is reported once."""
        try:
            now_us = time.time_ns() // 1000
            if step is None:
                step = self._step
            elif step.__class__ is not int:
                step = int(step)
            self._step = step + 1 if commit is not False else step
            writer = self._writer
            if writer is None and (writer := self._child_writer()) is None:
                self._warn_ended("log()")
                return
            if at is not None:
                now_us = int(at * 1e6) if 0 <= at < limits.END_S else now_us
            row = {**data}
            if self._definitions:
                for own_step, own_row in self._divide_by_step(step, row):
                    self._queue_row(writer, own_step, now_us, own_row)
                return
            for value in row.values():
                if value.__class__ not in values.PLAIN_TYPES:
                    self._queue_row(writer, step, now_us, row)
                    return
            if len(writer.queue) >= QUEUE_LIMIT:
                writer.num_dropped += 1
            elif row:
                writer.queue.append((step, now_us, row, self.source))
        except Exception as error:  # noqa: BLE001 - logging must not end training
            self._log.warn("log", "Not logged: %r", error)

    def _queue_row(self, writer: RowWriter, step: int, at_us: int, data: dict[str, Any]) -> None:
        """Queue a row that holds more than plain numbers."""
        rest, found = entries.split(data)
        row = writer.to_numbers(rest)
        if len(writer.queue) >= QUEUE_LIMIT or writer.media_bytes > entries.WAITING_BYTES:
            writer.num_dropped += 1
            return
        if row:
            writer.queue.append((step, at_us, row, self.source))
        found = self._drop_repeated_texts(found)
        if found:
            described, files = entries.build(found, step, at_us, self.source)
            size_bytes = entries.count_bytes(files)
            writer.media_bytes += size_bytes
            writer.queue.append(("media", {"entries": described, "files": files, "size_bytes": size_bytes}))

    def _drop_repeated_texts(self, found: entries.Found) -> entries.Found:
        """Media without texts that are the same as the last one of their name."""
        kept = {}
        for name, media in found.items():
            text = getattr(media[0], "text", None)
            if text is None or self._last_texts.get(name) != text:
                kept[name] = media
            if text is not None:
                self._last_texts[name] = text
        return kept

    def _child_writer(self) -> Optional[RowWriter]:
        raise NotImplementedError
