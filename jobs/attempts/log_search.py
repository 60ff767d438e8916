"""Search in the log of a rank, with a bound on what is read."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from jobs.attempts.logs import LogTail

READ_BYTES = 64 * 1024 * 1024  # from the end of the file
MATCHES_LIMIT = 500


@dataclass(frozen=True)
class LogMatches:
    """The newest lines that contain a text, with their numbers where the file was read from its start."""

    lines: list[tuple[int | None, str]]
    num_matches: int
    num_lines: int  # that were searched
    is_cut: bool  # the start of the log was not searched


def search_file(path: Path, text: str) -> LogMatches:
    """Search a log on this machine, ignoring case. Raises OSError."""
    wanted, found = text.lower(), deque[tuple[int | None, str]](maxlen=MATCHES_LIMIT)
    num_matches = num_lines = 0
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - READ_BYTES)
        file.seek(start)
        if start:
            file.readline()  # its start was not read
        left = size - file.tell()
        while left > 0 and (raw := file.readline(min(left, READ_BYTES))):
            left -= len(raw)
            num_lines += 1
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if wanted in line.lower():
                num_matches += 1
                found.append((None if start else num_lines, line))
    return LogMatches(list(found), num_matches, num_lines, is_cut=bool(start))


def search_tail(tail: LogTail, text: str) -> LogMatches:
    """Search the lines that the agent of another node has uploaded."""
    wanted = text.lower()
    found: list[tuple[int | None, str]] = [(None, line) for line in tail.lines if wanted in line.lower()]
    return LogMatches(found[-MATCHES_LIMIT:], len(found), len(tail.lines), is_cut=tail.is_cut)
