"""Log tails of ranks, read from disk or uploaded by the agent of their node.

A log on another machine is uploaded only while a person views it: a row requests it, and the node's agent uploads the
end of the file within seconds, and again when the file has grown, until the request expires.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from django.conf import settings
from django.utils import timezone

from engine.directory import AttemptDirectory
from jobs.models import Attempt, AttemptNode, Job, Lease, Node, UploadedLog
from jobs.nodes import folders
from jobs.states.jobs import ATTEMPT_LIVE
from jobs.states.nodes import Health

TAIL_BYTES = 256 * 1024  # limit of one read, however long the lines
LINES_LIMIT = 5000
UPLOAD_BYTES = 32 * 1024
UPLOAD_LINES = 400
REQUEST_LIFE_S = 60.0  # how long one view keeps a log uploaded
KEEP_FOR = timedelta(days=1)  # after the request has expired


@dataclass(frozen=True)
class LogTail:
    """The last lines of one rank's log. `reason`: why there are none. `is_cut`: the log is longer."""

    attempt: int
    rank: int
    lines: list[str]
    is_cut: bool = False
    size_bytes: int | None = None
    reason: str = ""
    node: str = ""  # the node that uploaded it; '': read on this machine
    read_at: datetime | None = None  # of an uploaded log: when its lines were new
    is_coming: bool = False  # it is on another machine, whose agent uploads new lines


def tail(job: Job, rank: int, lines: int = 200, attempt: int | None = None) -> LogTail:
    """Return the log tail of a rank in the newest attempt, or in the given one.

    The file's name is built from integers only, so a request cannot name another file.
    """
    found = _find_attempt(job, attempt)
    if found is None:
        reason = "No attempt has begun yet." if attempt is None else f"There is no attempt {attempt}."
        return LogTail(attempt or 0, rank, [], reason=reason)
    node, directory = _locate(found, rank)
    path = folders.find_here(node, directory)
    if not directory or not _belongs_to(found, rank, path):
        return _read_uploaded(found, rank, lines, node, directory)
    return read(path, found.number, rank, max(1, min(lines, LINES_LIMIT)))


def find_file(job: Job, rank: int, attempt: int | None = None) -> Path | None:
    """The whole log of a rank, if it is on this machine."""
    found = _find_attempt(job, attempt)
    if found is None:
        return None
    node, directory = _locate(found, rank)
    path = folders.find_here(node, directory)
    if not directory or not _belongs_to(found, rank, path):
        return None
    file = _file_of(path, rank)
    return file if file.is_file() else None


def _find_attempt(job: Job, number: int | None) -> Attempt | None:
    attempts = Attempt.objects.filter(job=job).select_related("node").order_by("-number")
    return (attempts if number is None else attempts.filter(number=number)).first()


def _file_of(directory: Path, rank: int) -> Path:
    return AttemptDirectory(directory).log / f"rank{int(rank)}.log"


def read(
    directory: Path, attempt: int, rank: int, lines: int = UPLOAD_LINES, limit_bytes: int = TAIL_BYTES
) -> LogTail:
    """Return the end of a log file on this machine."""
    try:
        with _file_of(directory, rank).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - limit_bytes)
            file.seek(start)
            content = file.read(limit_bytes)
    except FileNotFoundError:
        return LogTail(attempt, rank, [], reason=f"Rank {rank} has not written anything yet.")
    except OSError as error:
        return LogTail(attempt, rank, [], reason=f"The log cannot be read: {error.strerror}.")
    whole = content.decode("utf-8", "replace").splitlines()
    if start and len(whole) > 1:
        del whole[0]  # its start was not read
    return LogTail(attempt, rank, whole[-lines:], is_cut=bool(start) or len(whole) > lines, size_bytes=size)


def _locate(attempt: Attempt, rank: int) -> tuple[Node, str]:
    """Return the rank's node and the attempt's folder on it; '' if there is no folder yet."""
    lease = Lease.objects.filter(attempt=attempt, rank=rank).select_related("device__node").first()
    if lease is None or attempt.num_nodes == 1:
        return attempt.node, attempt.directory
    node = lease.device.node
    part = AttemptNode.objects.filter(attempt=attempt, node=node).values_list("directory", flat=True).first()
    return node, part or ""


def _belongs_to(attempt: Attempt, rank: int, directory: Path) -> bool:
    """Whether `directory` on this machine belongs to the attempt: two machines may use one path for two attempts."""
    try:
        placement = AttemptDirectory(directory).read_placement()
    except (OSError, msgspec.MsgspecError):
        return False
    is_same = placement.job == attempt.job_id and placement.attempt == attempt.number
    return is_same and (attempt.num_nodes == 1 or any(seat.rank == rank for seat in placement.seats))


def _read_uploaded(attempt: Attempt, rank: int, lines: int, node: Node, directory: str) -> LogTail:
    none = LogTail(attempt.number, rank, [])
    if not Lease.objects.filter(attempt=attempt, rank=rank).exists():
        return replace(none, reason=f"Attempt {attempt.number} has no rank {rank}.")
    if not directory:
        return replace(none, reason=f"Node {node.name} has not started attempt {attempt.number} yet.")
    row = _request(attempt, rank, node)
    if row.read_at is None:
        if node.health in (Health.UNREACHABLE, Health.FAILED):
            return replace(none, reason=f"The log is on node {node.name}, which is {node.health}.")
        message = f"The log is on node {node.name}; its agent has been asked for it."
        return replace(none, reason=message, is_coming=True)
    whole = row.text.splitlines()
    return LogTail(
        attempt=attempt.number,
        rank=rank,
        lines=whole[-lines:],
        is_cut=row.is_cut or len(whole) > lines,
        size_bytes=row.size_bytes,
        reason=row.reason,
        node=node.name,
        read_at=row.read_at,
        is_coming=attempt.state in ATTEMPT_LIVE,
    )


def _request(attempt: Attempt, rank: int, node: Node) -> UploadedLog:
    """Create or extend the request for a log. Writes at most once in REQUEST_LIFE_S / 2, however often it is called."""
    now = timezone.now()
    row, is_new = UploadedLog.objects.get_or_create(
        attempt=attempt,
        rank=rank,
        defaults={"node": node, "wanted_until": now + timedelta(seconds=REQUEST_LIFE_S)},
    )
    if is_new:
        UploadedLog.objects.filter(wanted_until__lt=now - KEEP_FOR).delete()
    elif row.wanted_until < now + timedelta(seconds=REQUEST_LIFE_S / 2):
        UploadedLog.objects.filter(id=row.id).update(wanted_until=now + timedelta(seconds=REQUEST_LIFE_S))
    return row


def upload(node: Node, node_dir: Path | None = None) -> int:
    """Upload the requested logs of `node` that have grown. Called by its agent. Returns how many were uploaded."""
    wanted = UploadedLog.objects.filter(node=node, wanted_until__gt=timezone.now()).select_related("attempt")
    return sum(_upload(row, node_dir or Path(settings.NODE_DIR)) for row in wanted.defer("text"))


def _missing_reason(node_dir: Path) -> str:
    if not (node_dir / folders.ATTEMPTS).is_dir():
        return f"The folder {node_dir / folders.ATTEMPTS} of the node is away now."[:200]
    return "The attempt's folder is not on the node's disk any more."


def _upload(row: UploadedLog, node_dir: Path) -> bool:
    directory = node_dir / _locate(row.attempt, row.rank)[1]
    if _belongs_to(row.attempt, row.rank, directory):
        found = read(directory, row.attempt.number, row.rank, limit_bytes=UPLOAD_BYTES)
    else:
        found = LogTail(row.attempt.number, row.rank, [], reason=_missing_reason(node_dir))
    if row.read_at is not None and (found.size_bytes, found.reason) == (row.size_bytes, row.reason):
        return False
    UploadedLog.objects.filter(id=row.id).update(
        text="\n".join(found.lines).replace("\0", ""),  # PostgreSQL cannot store NUL
        is_cut=found.is_cut, size_bytes=found.size_bytes, reason=found.reason, read_at=timezone.now(),
    )  # fmt: skip
    return True
