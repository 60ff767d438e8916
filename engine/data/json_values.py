"""Values of a JSON file, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_OUTSIDE = re.compile(rb'["{}\[\],\n]')
_INSIDE = re.compile(rb'["\\\n]')
_OPEN, _CLOSE = b"{[", b"}]"
UNCLOSED = "it has no end: a bracket or a quote is not closed, so nothing after it can be read"
AFTER_LIST = "it is behind the end of the list"


@dataclass
class FoundValue:
    """One value: the line on which it begins, its first bytes up to the limit, its length, what is wrong with it."""

    number: int
    content: bytes
    length: int
    error: str = ""


@dataclass
class _Scanner:
    """State between two chunks. Bytes are looked at once, and at most `limit` + 1 of a value are kept."""

    limit: int
    is_list: bool = False
    line: int = 1
    depth: int = 0
    in_text: bool = False
    is_escaped: bool = False
    has_ended: bool = False
    start_line: int = 0  # of the value being read; 0: none has begun
    kept: bytearray = field(default_factory=bytearray)
    length: int = 0

    def scan(self, chunk: bytes) -> Iterator[FoundValue]:
        position = 0
        while position < len(chunk):
            if self.is_escaped:
                self._keep(chunk[position : position + 1])
                self.line += chunk[position : position + 1] == b"\n"
                position, self.is_escaped = position + 1, False
                continue
            found = (_INSIDE if self.in_text else _OUTSIDE).search(chunk, position)
            stop = found.start() if found else len(chunk)
            self._keep(chunk[position:stop])
            if not found:
                return
            position = found.end()
            yield from self._mark(found.group())

    def _mark(self, mark: bytes) -> Iterator[FoundValue]:
        floor = 1 if self.is_list else 0
        if mark == b"\n":
            self._keep(mark)
            self.line += 1
            if not self.depth and not self.is_list and not self.in_text:
                yield from self._take()
            return
        if self.in_text or mark == b'"':
            self._keep(mark)
            self.is_escaped = mark == b"\\"
            self.in_text = mark != b'"' if self.in_text else True
            return
        if mark in _OPEN:
            if self.is_list and not self.depth and not self.has_ended:
                self.depth = 1
                return
            self.depth += 1
            self._keep(mark)
        elif mark in _CLOSE:
            if self.is_list and self.depth == 1 and not self.has_ended:
                yield from self._take()
                self.depth, self.has_ended = 0, True
                return
            self._keep(mark)
            self.depth = max(0 if self.has_ended else floor, self.depth - 1)
            if not self.depth and not self.is_list:
                yield from self._take()
        elif self.depth == floor and not self.has_ended:
            yield from self._take()
        else:
            self._keep(mark)

    def _keep(self, content: bytes) -> None:
        if not self.start_line:
            stripped = content.lstrip()
            if not stripped:
                return
            content, self.start_line = stripped, self.line
        self.length += len(content)
        self.kept += content[: max(0, self.limit + 1 - len(self.kept))]

    def _take(self, error: str = "") -> Iterator[FoundValue]:
        if self.start_line:
            yield FoundValue(self.start_line, bytes(self.kept).rstrip(), self.length, error)
        self.start_line, self.length = 0, 0
        self.kept.clear()

    def end(self) -> Iterator[FoundValue]:
        if self.has_ended:
            yield from self._take(AFTER_LIST)
        elif self.in_text or self.depth > (1 if self.is_list else 0):
            yield from self._take(UNCLOSED)
        else:
            yield from self._take()
            if self.is_list:
                yield FoundValue(self.line, b"", 0, "the list is not closed")


def iterate_values(chunks: Iterable[bytes], limit: int) -> Iterator[FoundValue]:
    """Yield the records of a list, or of a file that begins with one.

    A file whose first line is a whole object holds one record on each line, so a broken line harms no other.
    """
    rest = iter(chunks)
    beginning = b""
    while len(beginning.lstrip()) <= limit and b"\n" not in beginning.lstrip():
        chunk = next(rest, b"")
        if not chunk:
            break
        beginning += chunk
    scanner = _Scanner(limit, is_list=beginning.lstrip().startswith(b"["))
    for chunk in _chain(beginning, rest):
        yield from scanner.scan(chunk)
    yield from scanner.end()


def has_whole_first_line(beginning: bytes) -> bool:
    """Whether the first line that is not blank opens an object and closes it."""
    line = beginning.lstrip().partition(b"\n")[0].rstrip()
    return line.startswith(b"{") and line.endswith(b"}")


def _chain(beginning: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield beginning
    yield from rest
