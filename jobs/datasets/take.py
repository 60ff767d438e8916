"""From the bytes of an upload to a data set: every good line kept in normal form, every bad one reported."""

from __future__ import annotations

import hashlib
import json
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from engine.data import intake
from engine.data.lines import Record
from jobs.datasets import content
from jobs.datasets.keep import DatasetError, clean_name
from jobs.models import Dataset, DatasetEvent, Team
from jobs.models.datasets import FILE_NAME_LIMIT, LICENCE_LIMIT

MEMORY_BYTES = 8 * 1024 * 1024  # of a file that is being read; what is larger waits on the disk
CLASSES_LIMIT = 10_000  # as many as a model can have


@dataclass
class Reading:
    """What was found in a file so far."""

    kind: str = ""
    good: int = 0
    bad: int = 0
    size_bytes: int = 0
    received_bytes: int = 0
    chars: Counter[str] = field(default_factory=Counter)  # of sources and targets
    longest: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    digest: Any = field(default_factory=hashlib.sha256)

    @property
    def statistics(self) -> dict[str, Any]:
        found: dict[str, Any] = {"chars": dict(self.chars), "longest": dict(self.longest)}
        return found | ({"classes": dict(self.classes.most_common())} if self.kind == "classes" else {})


def take(
    *, team: Team, owner: User, name: str, file_name: str, pieces: Iterable[bytes], licence: str = ""
) -> Dataset:
    """A data set of the file's lines: ready if all are good, else a draft until somebody has said what shall become of
    it. The same content is kept once: the team's data set that has it already is returned. Raises DatasetError."""
    file_name = _file_name(file_name)
    name = clean_name(name or file_name.rpartition(".")[0] or file_name)
    found = Reading()
    with (
        tempfile.SpooledTemporaryFile(MEMORY_BYTES) as good,
        tempfile.SpooledTemporaryFile(MEMORY_BYTES) as bad,
    ):
        try:
            suffix = intake.suffix_of(file_name)
            for one in intake.records(_limited(pieces, found), suffix):
                _note(one, found, good, bad)  # type: ignore[arg-type]
        except intake.NotAText as error:
            raise DatasetError(str(error), "file") from None
        if not found.good and not found.bad:
            raise DatasetError(f"'{file_name}' holds no text.", "file")
        known = _same(team, found)
        if known is not None:
            return known
        made = Dataset.objects.create(
            team=team, owner=owner, name=name, file_name=file_name, suffix=suffix,
            licence=_printable(licence)[:LICENCE_LIMIT],
            kind=found.kind, sha256=found.digest.hexdigest(), size_bytes=found.size_bytes,
            received_bytes=found.received_bytes, num_good=found.good, num_bad=found.bad,
            statistics=found.statistics,
        )  # fmt: skip
        content.write(made, content.LINES, good)  # type: ignore[arg-type]
        content.write(made, content.REFUSED, bad)  # type: ignore[arg-type]
    _finish(made, owner)
    return made


def _finish(made: Dataset, owner: User) -> None:
    """All of it is stored: only now can anybody see it as more than something that is being received."""
    with transaction.atomic():
        is_whole = not made.num_bad
        made.state = Dataset.State.READY if is_whole else Dataset.State.DRAFT
        made.ready_at = timezone.now() if is_whole else None
        made.save(update_fields=["state", "ready_at"])
        said = f"'{made.file_name}' was taken: {made.num_good:,} good lines, {made.num_bad:,} refused."
        DatasetEvent.objects.create(dataset=made, team=made.team, actor=owner.get_username(), text=said)


def _note(one: Record | intake.Bad, found: Reading, good: BinaryIO, bad: BinaryIO) -> None:
    if isinstance(one, intake.Bad):
        found.bad += 1
        told = {"number": one.number, "reason": one.reason, "beginning": one.beginning}
        bad.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")
        return
    found.kind, found.good = one.kind, found.good + 1
    line = json.dumps(_values(one), ensure_ascii=False, sort_keys=True).encode() + b"\n"
    found.size_bytes += len(line)
    found.digest.update(line)
    good.write(line)
    for side in ("source", "target"):
        length = len(getattr(one.example, side))
        found.chars[side] += length
        found.longest[side] = max(found.longest[side], length)
    if one.kind == "classes":
        found.classes[one.example.target] += 1
        if len(found.classes) > CLASSES_LIMIT:
            raise DatasetError(
                f"The file has more than {CLASSES_LIMIT:,} labels; no model tells so many apart.", "file"
            )


def _values(one: Record) -> dict[str, str]:
    if one.kind == "text":
        return {"text": one.example.source}
    names = ("source", "target") if one.kind == "pairs" else ("text", "label")
    return dict(zip(names, (one.example.source, one.example.target), strict=True))


def _limited(pieces: Iterable[bytes], found: Reading) -> Iterator[bytes]:
    limit = settings.DATASET_LIMIT_BYTES
    for piece in pieces:
        found.received_bytes += len(piece)
        if found.received_bytes > limit:
            raise DatasetError(f"The file is larger than {limit:,} bytes, the most that is taken.", "file")
        yield piece


def _same(team: Team, found: Reading) -> Dataset | None:
    """One of the team's that has this content and is in use."""
    if found.bad:
        return None
    same = team.datasets.filter(sha256=found.digest.hexdigest(), kind=found.kind, archived_at=None)
    return same.filter(state=Dataset.State.READY).first()


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable()).strip()


def _file_name(name: str) -> str:
    """The last part of what the browser says, without anything that could be more than a name. Raises DatasetError."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    clean = _printable(last)
    if not clean or clean.startswith("."):
        raise DatasetError("The file has no name that could be shown.", "file")
    return clean[-FILE_NAME_LIMIT:]
