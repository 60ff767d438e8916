"""Bounded log: repeats are counted instead of written, and lines are cut."""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any

WINDOW_S = 60.0
REPEATS = 5  # records of one kind that are written in a window
RECORDS = 300  # of all kinds that are written in a window
RECORD_CHARS = 4_000
KINDS_LIMIT = 500  # beyond them, all further kinds count as one
OTHERS = (__name__, logging.WARNING, "records of other kinds", None, 0)
VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")  # of a message that was filled in before it was logged


@dataclass
class _Window:
    began: float
    num_records: int = 0

    @property
    def num_left_out(self) -> int:
        return max(0, self.num_records - REPEATS)


class BoundedHandler(logging.StreamHandler):
    """Writes to stderr. Of records of one kind (same logger, level, message without its values, and place of the error)
    it writes the first of each minute, then how many there were. A full disk costs no tracebacks."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._windows: dict[tuple[Any, ...], _Window] = {}
        self._all = _Window(time.monotonic())

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        now = time.monotonic()
        if now - self._all.began > WINDOW_S:
            self._report()
            self._windows, self._all = {}, _Window(now)
        kind = _kind(record)
        if len(self._windows) >= KINDS_LIMIT and kind not in self._windows:
            kind = OTHERS
        window = self._windows.setdefault(kind, _Window(now))
        window.num_records += 1
        if window.num_records <= REPEATS and self._all.num_records < RECORDS:
            self._all.num_records += 1
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if len(text) <= RECORD_CHARS:
            return text
        half = RECORD_CHARS // 2  # the end of a traceback says most
        return f"{text[:half]} [... {len(text) - RECORD_CHARS:,} characters ...] {text[-half:]}"

    def handleError(self, record: logging.LogRecord) -> None:
        """If the stream cannot be written, such as on a full disk, there is no place to say so."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def _report(self) -> None:
        """Write how many records of the window that ends were left out."""
        left_out = {kind: one.num_left_out for kind, one in self._windows.items() if one.num_left_out}
        for (name, level, message, error, _), number in list(left_out.items())[:REPEATS]:
            self._note(
                name,
                level,
                f"{number:,} more in the last minute like: {error.__name__ if error else message}",
            )
        if rest := list(left_out.values())[REPEATS:]:
            self._note(
                __name__, logging.WARNING, f"{sum(rest):,} more in the last minute of {len(rest)} kinds"
            )

    def _note(self, name: str, level: int, message: str) -> None:
        super().emit(logging.LogRecord(name, level, "", 0, "%s", (message[:300],), None))


def _kind(record: logging.LogRecord) -> tuple[Any, ...]:
    """With an error, where it was raised: its sentence often holds what the peer sent."""
    message, error, line = VARYING.sub("#", str(record.msg)[:300]), None, 0
    if isinstance(record.exc_info, tuple) and record.exc_info[2] is not None:
        error = record.exc_info[0]
        *_, (frame, line) = traceback.walk_tb(record.exc_info[2])
        message = frame.f_code.co_filename
    return record.name, record.levelno, message, error, line
