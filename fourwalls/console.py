"""Output of a script, kept with its run as a terminal would show it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from fourwalls.terminal import TerminalScreen

EVERY_S = 2.0
PART_LINES = 500  # of one message
TOTAL_CHARS = 16_000_000  # of one run; the rest is not kept
WAITING_CHARS = 4_000_000
ENDED = "(More output is not kept: the limit of a run is reached.)"

Send = Callable[[str, dict[str, Any]], None]


class ConsoleCapture:
    """Passes on what is written to the standard streams of Python, and ships the lines that have changed. Output of
    other processes and of compiled code is not seen."""

    def __init__(self, send: Send, source: str) -> None:
        self._send, self._source, self._process = send, source, os.getpid()
        self._screen = TerminalScreen()
        self._waiting: deque[str] = deque()
        self._waiting_chars = self._total_chars = 0
        self._is_closing = threading.Event()
        self._replaced: list[tuple[Any, Any, Any]] = []
        for stream in {id(one): one for one in (sys.stdout, sys.stderr) if one is not None}.values():
            self._replace(stream)
        self._thread = threading.Thread(target=self._work, name="fourwalls-console", daemon=True)
        self._thread.start()

    def close(self) -> None:
        for stream, original, own in self._replaced:
            with contextlib.suppress(AttributeError):
                if stream.__dict__.get("write") is own:
                    if original is None:
                        del stream.write
                    else:
                        stream.write = original
        self._is_closing.set()
        if self._process == os.getpid():
            self._thread.join(EVERY_S)

    def _replace(self, stream: Any) -> None:
        """The stream keeps its identity, because handlers and progress bars hold it."""
        write, waiting = stream.write, self._waiting

        def write_and_keep(text: Any) -> Any:
            written = write(text)
            if text.__class__ is str and self._waiting_chars < WAITING_CHARS:
                self._waiting_chars += len(text)
                waiting.append(text)
            return written

        try:
            previous = stream.__dict__.get("write")
            stream.write = write_and_keep
        except (AttributeError, TypeError):
            return  # a stream that takes no method of ours is not kept
        self._replaced.append((stream, previous, write_and_keep))

    def _work(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._is_closing.wait(EVERY_S)
            with contextlib.suppress(Exception):  # what cannot be shown must not end the thread
                self._ship()

    def _ship(self) -> None:
        while self._waiting:
            text = self._waiting.popleft()
            self._waiting_chars -= len(text)
            if self._total_chars <= TOTAL_CHARS:
                self._screen.feed(text)
        changes = self._screen.take_changes()
        if changes is None or self._total_chars > TOTAL_CHARS:
            return
        first, lines = changes
        self._total_chars += sum(map(len, lines))
        if self._total_chars > TOTAL_CHARS:
            lines.append(ENDED)
        for start in range(0, len(lines), PART_LINES):
            part = [line.encode("utf-8", "replace").decode() for line in lines[start : start + PART_LINES]]
            self._send("console", {"source": self._source, "first": first + start, "lines": part})
