"""Warnings limited to one per kind and five minutes."""

from __future__ import annotations

import logging
import time

WARN_EVERY_S = 300.0

log = logging.getLogger("fourwalls")


class ThrottledLog:
    def __init__(self) -> None:
        self._warned_at: dict[str, float] = {}

    def warn(self, kind: str, text: str, *values: object) -> None:
        now = time.monotonic()
        if now - self._warned_at.get(kind, -WARN_EVERY_S) >= WARN_EVERY_S:
            self._warned_at[kind] = now
            log.warning(text, *values)
