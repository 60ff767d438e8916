"""Artefact files of runs, each saved whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs.ids import new_id
from jobs.models import Artefact, Run, RunEvent
from jobs.models.artefacts import PATH_LIMIT


class ArtefactError(ValueError):
    """A file that cannot be taken; the message says which and why."""


class TooBig(ArtefactError):
    """More bytes than FOURWALLS_ARTEFACT_LIMIT_BYTES."""


@dataclass(frozen=True)
class Entry:
    """One line of a folder's list; a folder has no file behind it."""

    path: str  # from the run's root
    artefact: Artefact | None

    @property
    def is_folder(self) -> bool:
        return self.artefact is None


def save(run: Run, path: str, parts: Iterable[bytes], *, actor: str) -> Artefact:
    """Keep a file under `path`; one that is there is replaced in one step. Raises ArtefactError.

    The bytes are on disk before the row says so: whoever sees the row can read the file.
    """
    refuse_bad_path(path)
    _refuse_overlap(run, path)
    folder = folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix="new-")
    try:
        with os.fdopen(handle, "wb") as file:
            size_bytes, sha256 = _copy(parts, file, path)
        made = Artefact(
            id=new_id(),
            run=run,
            path=path,
            size_bytes=size_bytes,
            sha256=sha256,
            saved_at=timezone.now(),
            actor=actor,
        )
        os.replace(temporary, file_of(made))
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    with transaction.atomic():
        Run.objects.select_for_update().get(id=run.id)  # two writers of one path come one after the other
        old = list(Artefact.objects.filter(run=run, path=path))
        Artefact.objects.filter(id__in=[one.id for one in old]).delete()
        made.save(force_insert=True)
        transaction.on_commit(lambda: _unlink(old))
    return made


def find(run: Run, path: str) -> Artefact | None:
    return Artefact.objects.filter(run=run, path=path).first()


def listing(run: Run, folder: str = "") -> list[Entry]:
    """What lies directly in a folder of the run, folders among it, by name. Empty where there is no such folder."""
    within = f"{folder}/" if folder else ""
    found: dict[str, Entry] = {}
    for artefact in Artefact.objects.filter(run=run, path__startswith=within).order_by("path"):
        if not artefact.path.startswith(within):  # SQLite's LIKE takes upper and lower case for the same
            continue
        name, _, below = artefact.path[len(within) :].partition("/")
        found.setdefault(name, Entry(within + name, None if below else artefact))
    return [found[name] for name in sorted(found)]


def delete(run: Run, path: str, *, actor: str) -> int:
    """Delete a file, or a folder with all in it; how many files that were. Told as an event."""
    rows = [
        one for one in Artefact.objects.filter(run=run, path__startswith=path) if _is_within(one.path, path)
    ]
    if rows:
        with transaction.atomic():
            Artefact.objects.filter(id__in=[one.id for one in rows]).delete()
            said = f"{path}: {len(rows)} file{'s' if len(rows) > 1 else ''}"
            RunEvent.objects.create(run=run, actor=actor, kind="run.artefacts deleted", text=said)
            transaction.on_commit(lambda: _unlink(rows))
    return len(rows)


def folder_of(run: Run) -> Path:
    return Path(settings.ARTEFACT_ROOT) / run.id


def file_of(artefact: Artefact) -> Path:
    return Path(settings.ARTEFACT_ROOT) / artefact.run_id / artefact.id


def refuse_bad_path(path: str) -> None:
    """Raises ArtefactError for what is no plain relative path."""
    parts = path.split("/")
    if not path or len(path) > PATH_LIMIT:
        raise ArtefactError(f"An artefact's path has 1 to {PATH_LIMIT} characters; this one has {len(path)}.")
    if "" in parts or "." in parts or ".." in parts or "\\" in path or any(ord(c) < 32 for c in path):
        raise ArtefactError(
            f"{path!r} is no path of an artefact: say names with / between them, and no '..'."
        )


def refuse_too_big(path: str, size_bytes: int) -> None:
    """Raises TooBig, before a byte is read."""
    limit = settings.ARTEFACT_LIMIT_BYTES
    if size_bytes > limit:
        raise TooBig(f"'{path}' has {size_bytes:,} bytes; at most {limit:,} are kept of one file.")


def _refuse_overlap(run: Run, path: str) -> None:
    """A name is a file or a folder, never both: a client could not download them into one folder."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    taken = Artefact.objects.filter(run=run, path__in=above).values_list("path", flat=True).first()
    if taken is not None:
        raise ArtefactError(f"'{taken}' is a file of run {run.id}, so '{path}' cannot lie in it.")
    if listing(run, path):
        raise ArtefactError(f"'{path}' is a folder of run {run.id} and cannot become a file.")


def _copy(parts: Iterable[bytes], file: BinaryIO, path: str) -> tuple[int, str]:
    """Bytes written and their SHA-256, once they are on the disk itself."""
    limit, size_bytes, digest = settings.ARTEFACT_LIMIT_BYTES, 0, hashlib.sha256()
    for part in parts:
        size_bytes += len(part)
        if size_bytes > limit:
            raise TooBig(f"'{path}' is larger than {limit:,} bytes, the most that is kept of one file.")
        digest.update(part)
        file.write(part)
    file.flush()
    os.fsync(file.fileno())
    return size_bytes, digest.hexdigest()


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _unlink(artefacts: Iterable[Artefact]) -> None:
    for artefact in artefacts:
        with contextlib.suppress(FileNotFoundError):
            file_of(artefact).unlink()
