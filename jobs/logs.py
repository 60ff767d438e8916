"""The last lines that a rank printed, read from its attempt's directory where that is on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.directory import AttemptDirectory
from jobs.models import Attempt, Job

TAIL_BYTES = 256 * 1024  # never more of a file, however long its lines
LINES_LIMIT = 5000


@dataclass(frozen=True)
class Tail:
    """`reason` says why there are no lines; `is_cut`: the log is longer than this."""

    attempt: int
    rank: int
    lines: list[str]
    is_cut: bool = False
    size_bytes: int | None = None
    reason: str = ""


def tail(job: Job, rank: int, lines: int = 200, attempt: int | None = None) -> Tail:
    """Of the newest attempt, or of the given one. The file's name is made of whole numbers alone."""
    attempts = Attempt.objects.filter(job=job).select_related("node").order_by("-number")
    found = (attempts if attempt is None else attempts.filter(number=attempt)).first()
    if found is None:
        reason = "No attempt has begun yet." if attempt is None else f"There is no attempt {attempt}."
        return Tail(attempt or 0, rank, [], reason=reason)
    if not found.directory or not _is_of(found):
        return Tail(
            found.number,
            rank,
            [],
            reason=f"The log is not on this machine: it is on node {found.node.name}, or tidied away.",
        )
    path = AttemptDirectory(found.directory).log / f"rank{int(rank)}.log"
    try:
        return _read(path, found.number, rank, max(1, min(lines, LINES_LIMIT)))
    except FileNotFoundError:
        return Tail(found.number, rank, [], reason=f"Rank {rank} has not written anything yet.")


def _is_of(attempt: Attempt) -> bool:
    """The directory is really this attempt's: another machine may use the same path for another one."""
    try:
        placement = AttemptDirectory(attempt.directory).read_placement()
    except (OSError, msgspec.MsgspecError):
        return False
    return placement.job == attempt.job_id and placement.attempt == attempt.number


def _read(path: Path, attempt: int, rank: int, lines: int) -> Tail:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - TAIL_BYTES)
        file.seek(start)
        content = file.read(TAIL_BYTES)
    whole = content.decode("utf-8", "replace").splitlines()
    if start and len(whole) > 1:
        del whole[0]  # its beginning is missing
    return Tail(attempt, rank, whole[-lines:], is_cut=bool(start) or len(whole) > lines, size_bytes=size)
