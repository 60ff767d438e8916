"""Text files of the data folder, opened without leaving the folder."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.data import upload
from engine.data.examples import Example
from engine.data.formats import (
    COMPRESSIONS,
    RECORD_SUFFIXES,
    SUFFIXES,
    UnsupportedFile,
    decompress,
    split_suffix,
)
from engine.data.lines import Kind, Record
from engine.spec.problems import Problem, SpecError

# A corpus is tokenised in memory, which takes about ten times its size.
FILE_BYTES_LIMIT = 1024**3
CHUNK_BYTES = 1 << 20

__all__ = ["COMPRESSIONS", "SUFFIXES"]


def has_known_suffix(name: str) -> bool:
    """Whether a file is of a known format, by its name."""
    return split_suffix(name)[0] in SUFFIXES


def detect_kind(name: str, root: Path) -> Kind:
    """Return the kind of a file; of one with records that of the first. Raises SpecError."""
    if not _has_records(name):
        return "text"
    return next((record.kind for record in _records(name, root)), "text")


def iterate_examples(name: str, root: Path) -> Iterator[Example]:
    """Yield a text file as one example, other files record by record. Raises SpecError on the first bad line."""
    if _has_records(name):
        yield from (record.example for record in _records(name, root))
    else:
        yield Example("".join(iterate_text(name, root)), "")


def check(name: str, root: Path) -> None:
    """Raise SpecError unless the whole file is usable."""
    for _ in _records(name, root) if _has_records(name) else iterate_text(name, root):
        pass


def file_stamp(name: str, root: Path) -> tuple[int, int, int]:
    """Return inode, size in bytes and change time in ns, which show whether a hashed file has changed."""
    with os.fdopen(_open_inside(name, root), "rb") as file:
        status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


def _has_records(name: str) -> bool:
    return split_suffix(name)[0] in RECORD_SUFFIXES


def _records(name: str, root: Path) -> Iterator[Record]:
    suffix, found = split_suffix(name)[0], False
    try:
        for record in upload.parse_records(_read(name, root), suffix):
            if isinstance(record, upload.BadLine):
                reason = f"Line {record.number:,} of '{name}' cannot be used: {record.reason}."
                raise corpus_error(reason)
            found = True
            yield record
    except UnsupportedFile as error:
        raise corpus_error(f"'{name}' cannot be used: {error}") from None
    if not found:
        raise corpus_error(f"'{name}' contains no text.")


def _read(name: str, root: Path) -> Iterator[bytes]:
    """Yield the content of the file in chunks, decompressed. Raises SpecError and UnsupportedFile."""
    with os.fdopen(_open_inside(name, root), "rb") as file:
        yield from decompress(
            iter(lambda: file.read(CHUNK_BYTES), b""), split_suffix(name)[1], FILE_BYTES_LIMIT
        )


def corpus_error(message: str, **fix: str) -> SpecError:
    """Build a SpecError on field data.corpus; `fix` has values of fields below data."""
    return field_error("data.corpus", message, {f"data.{key}": value for key, value in fix.items()})


def field_error(field: str, message: str, fix: Mapping[str, object]) -> SpecError:
    """Build a SpecError with one problem."""
    return SpecError([Problem(field, message, fix)])


def iterate_text(name: str, root: Path) -> Iterator[str]:
    """Yield the text of the file in chunks of 1 MiB. Raises SpecError if it is not UTF-8 or has no text."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    done_bytes = 0
    has_text = False
    try:
        for chunk in _read(name, root):
            text = decoder.decode(chunk)
            done_bytes += len(chunk)
            has_text = has_text or bool(text.strip())
            yield text
    except UnicodeDecodeError as error:
        near = done_bytes + error.start
        raise corpus_error(f"'{name}' is not UTF-8 text: near byte {near:,}, {error.reason}.") from None
    except UnsupportedFile as error:
        raise corpus_error(f"'{name}' cannot be used: {error}") from None
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise corpus_error(f"'{name}' is not UTF-8 text: it ends in the middle of a character.") from None
    if not has_text:
        raise corpus_error(f"'{name}' contains no text.")


def _open_inside(name: str, root: Path) -> int:
    """Open a regular file below the root and return its descriptor.

    Opens each part of the path without following links, so the file that was checked is the file that is read.
    """
    parts = _split_path(name)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for position, part in enumerate(parts):
            last = position == len(parts) - 1
            folder, opened = opened, -1
            try:
                opened = os.open(part, flags | (0 if last else os.O_DIRECTORY), dir_fd=folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise corpus_error(_open_error_message(name, error)) from None
    status = os.fstat(opened)
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= FILE_BYTES_LIMIT:
        os.close(opened)
        if not stat.S_ISREG(status.st_mode):
            raise corpus_error(f"'{name}' is not a regular file.")
        if status.st_size == 0:
            raise corpus_error(f"'{name}' is empty.")
        raise corpus_error(f"'{name}' has {status.st_size:,} bytes; the limit is {FILE_BYTES_LIMIT:,}.")
    return opened


def _split_path(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise corpus_error(
            f"'{name}' is outside the data folder. Give a path inside it, such as notes/letters.txt."
        )
    return parts


def _open_error_message(name: str, error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return f"'{name}' is a symbolic link or is below one. Copy the file itself into the data folder."
    if error.errno == errno.ENOENT:
        return f"The data folder has no file '{name}'."
    if error.errno == errno.ENOTDIR:
        return f"'{name}' is below something that is not a folder (links are not followed)."
    return f"'{name}' cannot be read: {error.strerror}."
