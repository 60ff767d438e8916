"""Transfer of checkpoints between nodes, in parts through the database.

The node that needs a checkpoint requests a copy. The agent of a node that holds it reads the files, hashes them and
writes parts, a few at a time; the receiving agent writes each part to its disk, deletes it from the database, and
compares the hashes at the end. Positions are stored with every part, so either agent may be killed at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zstandard
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from engine.checkpoints.folder import HOLD_PREFIX, MANIFEST, fsync_path
from jobs.attempts import checkpoints
from jobs.attempts.locations import COPYING, FAILED, READY, RETRY_AFTER, Holder
from jobs.lifecycle.resumption import newest_step
from jobs.models import Checkpoint, CheckpointCopy, CheckpointPart, Event, Node
from jobs.nodes import folders
from jobs.states.jobs import FINAL, JobState

PART_BYTES = 1024 * 1024  # before compression
Files = Sequence[Sequence[Any]]  # (name, size, SHA-256), as in CheckpointCopy.files
WINDOW = 16  # parts of a copy in the database at once
TRIES = 3


def request(row: Checkpoint, source: Holder, node: Node) -> CheckpointCopy:
    """Return the copy of a checkpoint on `node`; the first call requests it. A failed one is requested again later."""
    root_id = folders.read_root_id()
    name = f"{row.attempt.job_id}-{row.attempt.number}/{Path(row.path).name}"
    path = name if root_id else f"{folders.COPIES}/{name}"
    copy, is_new = CheckpointCopy.objects.get_or_create(
        checkpoint=row, node=node, defaults={"source_id": source.id, "path": path, "root_id": root_id}
    )
    is_over = copy.state == FAILED and copy.ended_at and timezone.now() - copy.ended_at > RETRY_AFTER
    if not is_new and (is_over or (copy.state == COPYING and copy.source_id != source.id)):
        copy.source_id, copy.num_tries = source.id, 0
        _restart(copy)
    return copy


def copy_path(copy: CheckpointCopy, node_dir: Path) -> Path:
    return checkpoints.path_on_node(copy.path, bool(copy.root_id), node_dir)


def send(node: Node, node_dir: Path) -> int:
    """Write the next parts of the copies that this node sends. Called by its agent. Returns the number of parts."""
    copies = CheckpointCopy.objects.filter(source=node, state=COPYING)
    return sum(_send(copy, node_dir) for copy in copies.select_related("checkpoint__attempt").order_by("id"))


def receive(node: Node, node_dir: Path) -> int:
    """Store the parts that have come for this node. Called by its agent. Returns the number of parts."""
    copies = CheckpointCopy.objects.filter(node=node, state=COPYING, size_bytes__isnull=False)
    found = copies.select_related("checkpoint__attempt", "node", "source").order_by("id")
    return sum(_receive(copy, node_dir) for copy in found)


def progress_of(job_id: str) -> CheckpointCopy | None:
    """Return the copy that is on its way for a job."""
    rows = CheckpointCopy.objects.filter(state=COPYING).select_related("checkpoint", "node", "source")
    own = rows.filter(checkpoint__attempt__job=job_id) | rows.filter(checkpoint__started=job_id)
    return own.order_by("-id").first()


def _source_path(copy: CheckpointCopy, node_dir: Path) -> Path:
    row = copy.checkpoint
    if row.is_shared or row.attempt.node_id == copy.source_id:
        return checkpoints.path_on_node(row.path, row.is_shared, node_dir)
    own = CheckpointCopy.objects.filter(checkpoint=row, node=copy.source_id, state=READY).first()
    return copy_path(own, node_dir) if own else node_dir / row.path


def _send(copy: CheckpointCopy, node_dir: Path) -> int:
    path = _source_path(copy, node_dir)
    if not copy.files and not _describe(copy, path):
        return 0
    sent, size = 0, copy.size_bytes or 0
    waiting = CheckpointPart.objects.filter(copy=copy).count()
    compressor = zstandard.ZstdCompressor(level=1)
    while copy.sent_bytes < size and waiting + sent < WINDOW:
        try:
            content = b"".join(_read(path, copy.files, copy.sent_bytes, PART_BYTES))
        except OSError as error:
            _fail(copy, f"Its files cannot be read: {error.strerror or error}.")
            return sent
        with transaction.atomic():
            rows = CheckpointCopy.objects.filter(id=copy.id, state=COPYING, sent_bytes=copy.sent_bytes)
            if not rows.update(sent_bytes=F("sent_bytes") + len(content)):
                return sent  # restarted or removed meanwhile
            number = copy.sent_bytes // PART_BYTES
            CheckpointPart.objects.create(copy=copy, number=number, content=compressor.compress(content))
        copy.sent_bytes += len(content)
        sent += 1
    return sent


def _describe(copy: CheckpointCopy, path: Path) -> bool:
    """Hash the files of a checkpoint. False: it cannot be sent.

    Nothing prunes them meanwhile: their attempt has ended, and `manage.py tidy` keeps a job's newest checkpoint.
    """
    damage = checkpoints.find_damage(path)
    if damage:
        if (path / MANIFEST).exists() and copy.checkpoint.attempt.node_id == copy.source_id:
            Checkpoint.objects.filter(id=copy.checkpoint_id).update(damage=damage)
        _fail(copy, damage)
        return False
    files: list[list[Any]] = []
    try:
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.name.startswith(HOLD_PREFIX):
                files.append([file.relative_to(path).as_posix(), *_hash(file)])
    except OSError as error:
        _fail(copy, f"Its files cannot be read: {error.strerror or error}.")
        return False
    copy.files, copy.size_bytes = files, sum(size for _, size, _ in files)
    rows = CheckpointCopy.objects.filter(id=copy.id, state=COPYING, size_bytes=None)
    return bool(rows.update(files=files, size_bytes=copy.size_bytes))


def _read(path: Path, files: Files, start: int, count: int) -> Iterator[bytes]:
    """Yield `count` bytes of the files one after the other, from `start` on. Raises OSError if one has shrunk."""
    for name, begin, length in _spans(files, start, count):
        with (path / name).open("rb") as file:
            file.seek(begin)
            content = file.read(length)
        if len(content) != length:
            raise OSError(f"{name} has become shorter")
        yield content


def _spans(files: Files, start: int, count: int) -> Iterator[tuple[str, int, int]]:
    """Yield (file, offset in it, bytes) of a range of the files one after the other."""
    at = 0
    for name, size, _ in files:
        first, last = max(start, at), min(start + count, at + int(size))
        if first < last:
            yield str(name), first - at, last - first
        at += int(size)


def _receive(copy: CheckpointCopy, node_dir: Path) -> int:
    target = copy_path(copy, node_dir)
    scratch = target.with_name(f".copying-{copy.id}-{target.name}")
    decompressor, received = zstandard.ZstdDecompressor(), 0
    try:
        while copy.received_bytes < (copy.size_bytes or 0):
            number = copy.received_bytes // PART_BYTES
            part = CheckpointPart.objects.filter(copy=copy, number=number).first()
            if part is None:
                return received
            content = decompressor.decompress(bytes(part.content), max_output_size=PART_BYTES)
            _write(scratch, copy.files, copy.received_bytes, content)
            with transaction.atomic():
                rows = CheckpointCopy.objects.filter(id=copy.id, received_bytes=copy.received_bytes)
                if not rows.update(received_bytes=F("received_bytes") + len(content)):
                    return received
                part.delete()
            copy.received_bytes += len(content)
            received += 1
        _finish(copy, scratch, target)
    except OSError as error:
        _fail(copy, f"It cannot be written on node {copy.node.name}: {error.strerror or error}.")
        shutil.rmtree(scratch, ignore_errors=True)
    return received


def _write(scratch: Path, files: Files, start: int, content: bytes) -> None:
    at = 0
    for name, begin, length in _spans(files, start, len(content)):
        file = scratch / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise OSError(f"{name} is not a file of a checkpoint")
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(handle, content[at : at + length], begin)
        finally:
            os.close(handle)
        at += length


def _finish(copy: CheckpointCopy, scratch: Path, target: Path) -> None:
    """Compare the hashes, and give the folder its name. Raises OSError."""
    for name, size, digest in copy.files:
        file = scratch / str(name)
        if not size and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.touch(mode=0o600)
        if not file.is_file() or _hash(file) != [size, digest]:
            shutil.rmtree(scratch, ignore_errors=True)
            return _try_again(copy, str(name))
        fsync_path(file)
    if target.exists():
        shutil.rmtree(target)
    os.rename(scratch, target)
    fsync_path(target.parent)
    now = timezone.now()
    if CheckpointCopy.objects.filter(id=copy.id, state=COPYING).update(state=READY, ended_at=now):
        took_s = (now - copy.requested_at).total_seconds()
        text = (
            f"Checkpoint at step {copy.checkpoint.step} copied from node {copy.source.name} to node "
            f"{copy.node.name}: {copy.size_bytes:,} bytes in {took_s:.1f} s, with matching hashes."
        )
        for job in {copy.checkpoint.attempt.job_id}:
            Event.objects.create(job_id=job, actor=f"agent:{copy.node.name}", kind="checkpoint", text=text)


def _try_again(copy: CheckpointCopy, name: str) -> None:
    copy.num_tries += 1
    if copy.num_tries >= TRIES:
        return _fail(copy, f"The SHA-256 of {name} did not match in {TRIES} tries.")
    _restart(copy)


def _restart(copy: CheckpointCopy) -> None:
    with transaction.atomic():
        copy.parts.all().delete()
        CheckpointCopy.objects.filter(id=copy.id).update(
            state=COPYING, source=copy.source_id, files=[], size_bytes=None, sent_bytes=0, received_bytes=0,
            num_tries=copy.num_tries, reason="", requested_at=timezone.now(), ended_at=None,
        )  # fmt: skip
    copy.refresh_from_db()


def _fail(copy: CheckpointCopy, reason: str) -> None:
    with transaction.atomic():
        copy.parts.all().delete()
        CheckpointCopy.objects.filter(id=copy.id, state=COPYING).update(
            state=FAILED, reason=reason[:300], ended_at=timezone.now(), num_tries=copy.num_tries
        )
    copy.state, copy.reason = FAILED, reason[:300]


def _hash(file: Path) -> list[str | int]:
    """Return size and SHA-256 of a file."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        return [content.tell(), digest]


def is_busy(node: Node) -> bool:
    """Whether a copy from or to this node is on its way."""
    rows = CheckpointCopy.objects.filter(state=COPYING)
    return (rows.filter(source=node) | rows.filter(node=node)).exists()


def clean_up(node: Node, node_dir: Path) -> int:
    """Delete copies on this node that no job needs any more, and forget those that are lost. Returns how many."""
    removed = 0
    copies = CheckpointCopy.objects.filter(node=node).select_related("checkpoint__attempt__job")
    for copy in copies:
        path = copy_path(copy, node_dir)
        is_lost = copy.state == READY and not (path / MANIFEST).is_file()
        if _is_needed(copy) and not is_lost:
            continue
        CheckpointCopy.objects.filter(id=copy.id).delete()
        scratch = path.with_name(f".copying-{copy.id}-{path.name}")
        for left in (scratch, *([] if copy.root_id else [path])):  # other nodes may read a shared one
            shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # if it is empty
        removed += 1
    return removed


def _is_needed(copy: CheckpointCopy) -> bool:
    row = copy.checkpoint
    if row.started.exclude(state__in=FINAL).exists():
        return True
    job = row.attempt.job
    if job.state in (JobState.SUCCEEDED, JobState.CANCELLED):
        return False
    step = newest_step(job.id)
    return step is None or step <= row.step
