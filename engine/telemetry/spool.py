"""Writer of a spool file, which appends whole lines and never raises."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from engine.telemetry.wire import SpoolLine, encode


class SpoolWriter:
    """A full disk drops lines and does not stop the caller; `dropped` counts them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped = 0
        self._is_torn = False  # the last write ended within a line

    def write(self, lines: Iterable[SpoolLine]) -> bool:
        encoded = [encode(line) for line in lines]
        content = (b"\n" if self._is_torn else b"") + b"".join(encoded)
        written = self._append(content)
        if written < len(content):
            self.dropped += len(encoded)
            self._is_torn = self._is_torn or written > 0
            return False
        self._is_torn = False
        return True

    def _append(self, content: bytes) -> int:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError:
            return 0
        try:
            return os.write(descriptor, content)
        except OSError:
            return 0
        finally:
            os.close(descriptor)
