"""The last lines that a rank printed: read from its attempt's directory, or brought by the agent of its node.

A log that lies on another machine is not sent anywhere until somebody looks at it. Then a row asks for it, the node's
agent brings its end within seconds, and again when it has grown, for as long as somebody keeps looking.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
from django.utils import timezone

from engine.directory import AttemptDirectory
from jobs.models import Attempt, AttemptNode, Job, Lease, Node, UploadedLog
from jobs.states.jobs import ATTEMPT_LIVE
from jobs.states.nodes import Health

TAIL_BYTES = 256 * 1024  # never more of a file, however long its lines
LINES_LIMIT = 5000
UPLOAD_BYTES = 32 * 1024
UPLOAD_LINES = 400
REQUEST_LIFE_S = 60.0  # how long one look keeps a log coming
KEEP_FOR = timedelta(days=1)  # after the last look


@dataclass(frozen=True)
class LogTail:
    """`reason` says why there are no lines; `is_cut`: the log is longer than this."""

    attempt: int
    rank: int
    lines: list[str]
    is_cut: bool = False
    size_bytes: int | None = None
    reason: str = ""
    node: str = ""  # the machine it was brought from; '': this one
    read_at: datetime | None = None  # of a log that was brought: when its lines were new
    is_coming: bool = False  # it lies on another machine, whose agent brings what is new


def tail(job: Job, rank: int, lines: int = 200, attempt: int | None = None) -> LogTail:
    """Of the newest attempt, or of the given one. The file's name is made of whole numbers alone."""
    attempts = Attempt.objects.filter(job=job).select_related("node").order_by("-number")
    found = (attempts if attempt is None else attempts.filter(number=attempt)).first()
    if found is None:
        reason = "No attempt has begun yet." if attempt is None else f"There is no attempt {attempt}."
        return LogTail(attempt or 0, rank, [], reason=reason)
    node, directory = _locate(found, rank)
    if not directory or not _belongs_to(found, rank, directory):
        return _read_uploaded(found, rank, lines, node, directory)
    return read(directory, found.number, rank, max(1, min(lines, LINES_LIMIT)))


def read(
    directory: str, attempt: int, rank: int, lines: int = UPLOAD_LINES, limit_bytes: int = TAIL_BYTES
) -> LogTail:
    """The end of a file on this machine."""
    try:
        with (AttemptDirectory(directory).log / f"rank{int(rank)}.log").open("rb") as file:
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
        del whole[0]  # its beginning is missing
    return LogTail(attempt, rank, whole[-lines:], is_cut=bool(start) or len(whole) > lines, size_bytes=size)


def _locate(attempt: Attempt, rank: int) -> tuple[Node, str]:
    """The rank's node, and the attempt's folder there; '' before it has one."""
    lease = Lease.objects.filter(attempt=attempt, rank=rank).select_related("device__node").first()
    if lease is None or attempt.num_nodes == 1:
        return attempt.node, attempt.directory
    node = lease.device.node
    part = AttemptNode.objects.filter(attempt=attempt, node=node).values_list("directory", flat=True).first()
    return node, part or ""


def _belongs_to(attempt: Attempt, rank: int, directory: str) -> bool:
    """The directory is really this attempt's: another machine may use the same path for another one."""
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
        return replace(none, reason=f"Node {node.name} has not taken up attempt {attempt.number} yet.")
    row = _request(attempt, rank, node)
    if row.read_at is None:
        if node.health in (Health.UNREACHABLE, Health.FAILED):
            return replace(none, reason=f"The log is on node {node.name}, which is {node.health}.")
        said = f"The log is on node {node.name}; its agent has been asked for it."
        return replace(none, reason=said, is_coming=True)
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
    """Keeps the log coming; writes only once in a while, however often somebody looks."""
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


def upload(node: Node) -> int:
    """What the agent of `node` does for those who look: brings what is new. Returns how many logs were."""
    wanted = UploadedLog.objects.filter(node=node, wanted_until__gt=timezone.now()).select_related("attempt")
    return sum(_upload(row) for row in wanted.defer("text"))


def _upload(row: UploadedLog) -> bool:
    _, directory = _locate(row.attempt, row.rank)
    if _belongs_to(row.attempt, row.rank, directory):
        found = read(directory, row.attempt.number, row.rank, limit_bytes=UPLOAD_BYTES)
    else:
        found = LogTail(row.attempt.number, row.rank, [], reason="The attempt's folder has been tidied away.")
    if row.read_at is not None and (found.size_bytes, found.reason) == (row.size_bytes, row.reason):
        return False
    UploadedLog.objects.filter(id=row.id).update(
        text="\n".join(found.lines).replace("\0", ""),  # which PostgreSQL does not store
        is_cut=found.is_cut, size_bytes=found.size_bytes, reason=found.reason, read_at=timezone.now(),
    )  # fmt: skip
    return True
