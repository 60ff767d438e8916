"""Storage of an uploaded file as a data set.

Every good line is stored in normal form, every bad line with its number and reason.
"""

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

from engine.data import upload
from engine.data.formats import decompress, split_suffix
from engine.data.lines import NAMES, Record
from jobs.datasets import content
from jobs.datasets.lifecycle import DatasetError, clean_name
from jobs.datasets.rows import shown_texts
from jobs.models import Dataset, DatasetEvent, Team
from jobs.models.datasets import FILE_NAME_LIMIT, LICENCE_LIMIT
from jobs.people import storage

MEMORY_BYTES = 8 * 1024 * 1024  # of a file being read; a larger one is buffered on disk
UNREAD_CHARS, UNREAD_SHOWN = 60, 5
UNREAD_NAMES = 50  # names of fields that are counted one by one
CLASSES_LIMIT = 10_000  # also the limit of a model


@dataclass
class UploadStatistics:
    """Counts over the lines read so far."""

    kind: str = ""
    good: int = 0
    bad: int = 0
    size_bytes: int = 0
    received_bytes: int = 0
    chars: Counter[str] = field(default_factory=Counter)  # of sources and targets
    longest: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)  # lines by the name of a field that is not read
    digest: Any = field(default_factory=hashlib.sha256)

    @property
    def statistics(self) -> dict[str, Any]:
        result: dict[str, Any] = {"chars": dict(self.chars), "longest": dict(self.longest)}
        if self.unread:
            result["unread"] = dict(self.unread.most_common())
        return result | ({"classes": dict(self.classes.most_common())} if self.kind == "classes" else {})


def store_upload(
    *,
    team: Team,
    owner: User,
    name: str,
    file_name: str,
    chunks: Iterable[bytes],
    licence: str = "",
    fields: str = "",
) -> Dataset:
    """Store a file as a data set: ready if all lines are good, else a draft until it is accepted or discarded.

    `fields` names those to read, as in text=review, label=stars; '' reads the known ones. The same content is stored
    once per team: an existing data set with it is returned. Raises DatasetError.
    """
    file_name = _clean_file_name(file_name)
    name = clean_name(name or _stem(file_name))
    columns = parse_columns(fields)
    stats = UploadStatistics()
    with (
        tempfile.SpooledTemporaryFile(MEMORY_BYTES) as good,
        tempfile.SpooledTemporaryFile(MEMORY_BYTES) as bad,
    ):
        try:
            suffix, compression = upload.check_suffix(file_name)
            unpacked = decompress(_limit_size(chunks, stats), compression, settings.DATASET_LIMIT_BYTES)
            for record in upload.parse_records(unpacked, suffix, columns):
                _store_record(record, stats, good, bad)  # type: ignore[arg-type]
        except upload.UnsupportedFile as error:
            raise DatasetError(str(error), "file") from None
        if not stats.good and not stats.bad:
            raise DatasetError(f"'{file_name}' holds no text.", "file")
        duplicate = _find_duplicate(team, stats)
        if duplicate is not None:
            return duplicate
        try:
            storage.refuse_dataset(team, stats.size_bytes)
        except storage.QuotaReached as full:
            raise DatasetError(str(full), "file") from None
        dataset = Dataset.objects.create(
            team=team, owner=owner, name=name, file_name=file_name, suffix=suffix,
            licence=_printable(licence)[:LICENCE_LIMIT],
            kind=stats.kind, sha256=stats.digest.hexdigest(), size_bytes=stats.size_bytes,
            received_bytes=stats.received_bytes, num_good=stats.good, num_bad=stats.bad,
            statistics=stats.statistics,
        )  # fmt: skip
        content.write_parts(dataset, content.LINES, good)  # type: ignore[arg-type]
        content.write_parts(dataset, content.REFUSED, bad)  # type: ignore[arg-type]
    _finish(dataset, owner)
    return dataset


def _finish(dataset: Dataset, owner: User) -> None:
    """Set the final state, after all content is stored; until then the data set is shown as being received."""
    with transaction.atomic():
        is_whole = not dataset.num_bad
        dataset.state = Dataset.UploadState.READY if is_whole else Dataset.UploadState.DRAFT
        dataset.ready_at = timezone.now() if is_whole else None
        dataset.save(update_fields=["state", "ready_at"])
        text = f"Stored '{dataset.file_name}': {dataset.num_good:,} good lines, {dataset.num_bad:,} refused."
        if unread := dataset.statistics.get("unread"):
            names = ", ".join(f"{name} ({count:,})" for name, count in list(unread.items())[:UNREAD_SHOWN])
            text += f" Fields that are not read, with their lines: {names}."
        DatasetEvent.objects.create(dataset=dataset, team=dataset.team, actor=owner.get_username(), text=text)


def _store_record(
    record: Record | upload.BadLine, stats: UploadStatistics, good: BinaryIO, bad: BinaryIO
) -> None:
    if isinstance(record, upload.BadLine):
        stats.bad += 1
        refused = {"number": record.number, "reason": record.reason, "beginning": record.beginning}
        bad.write(json.dumps(refused, ensure_ascii=False).encode() + b"\n")
        return
    stats.kind, stats.good = record.kind, stats.good + 1
    line = json.dumps(_record_fields(record), ensure_ascii=False, sort_keys=True).encode() + b"\n"
    stats.size_bytes += len(line)
    stats.digest.update(line)
    good.write(line)
    for side, length in zip(
        ("source", "target"), map(len, shown_texts(record.kind, record.example)), strict=True
    ):
        stats.chars[side] += length
        stats.longest[side] = max(stats.longest[side], length)
    for name in record.unread:
        name = _printable(name)[:UNREAD_CHARS]
        stats.unread[name if name in stats.unread or len(stats.unread) < UNREAD_NAMES else "others"] += 1
    if record.kind == "classes":
        stats.classes[record.example.target] += 1
        if len(stats.classes) > CLASSES_LIMIT:
            raise DatasetError(
                f"The file has more than {CLASSES_LIMIT:,} labels, the limit of a model.", "file"
            )


def _record_fields(record: Record) -> dict[str, Any]:
    """The fields of a stored line, from which the same record is read again."""
    source, target = record.example.source, record.example.target
    if record.kind == "text":
        return {"text": source}
    if record.kind == "chats":
        return dict(json.loads(source))
    if record.kind == "preference":
        return {"prompt": json.loads(source)["messages"]} | json.loads(target)
    names = ("source", "target") if record.kind == "pairs" else ("text", "label")
    return dict(zip(names, (source, target), strict=True))


def parse_columns(text: str) -> dict[str, str]:
    """'text=review, label=stars' as name here -> field of the file. Raises DatasetError."""
    columns: dict[str, str] = {}
    for part in filter(str.strip, text.split(",")):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or name not in NAMES or name in columns:
            raise DatasetError(
                f"'{part.strip()[:60]}' is not of the form name=field, each name once; names are {', '.join(NAMES)}.",
                "fields",
            )
        columns[name] = column
    return columns


def _stem(file_name: str) -> str:
    """The file name without its suffix and that of its compression."""
    unpacked = file_name[: len(file_name) - len(split_suffix(file_name)[1])]
    return unpacked.rpartition(".")[0] or file_name


def _limit_size(chunks: Iterable[bytes], stats: UploadStatistics) -> Iterator[bytes]:
    limit = settings.DATASET_LIMIT_BYTES
    for chunk in chunks:
        stats.received_bytes += len(chunk)
        if stats.received_bytes > limit:
            raise DatasetError(f"The file is larger than the limit of {limit:,} bytes.", "file")
        yield chunk


def _find_duplicate(team: Team, stats: UploadStatistics) -> Dataset | None:
    """The team's data set in use that has the same content."""
    if stats.bad:
        return None
    same = team.datasets.filter(sha256=stats.digest.hexdigest(), kind=stats.kind, archived_at=None)
    return same.filter(state=Dataset.UploadState.READY).first()


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable()).strip()


def _clean_file_name(name: str) -> str:
    """The last component of a file name, printable characters only. Raises DatasetError."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    clean = _printable(last)
    if not clean or clean.startswith("."):
        raise DatasetError("The file has no printable name.", "file")
    return clean[-FILE_NAME_LIMIT:]
