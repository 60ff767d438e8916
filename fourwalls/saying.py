"""Trouble is said once in a while, not once a try."""

from __future__ import annotations

import logging
import time

SAY_EVERY_S = 300.0

log = logging.getLogger("fourwalls")


class Sayer:
    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}

    def say(self, kind: str, text: str, *values: object) -> None:
        now = time.monotonic()
        if now - self._said_at.get(kind, -SAY_EVERY_S) >= SAY_EVERY_S:
            self._said_at[kind] = now
            log.warning(text, *values)
