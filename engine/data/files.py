"""Text files of the data folder: opened without leaving it, and read as documents or examples."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.data import lines
from engine.data.examples import Example
from engine.spec.problems import Problem, SpecError

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst")
SUFFIXES = TEXT_SUFFIXES + lines.SUFFIXES
# A corpus is tokenised in memory, which takes some ten times its size.
FILE_BYTES_LIMIT = 1024**3


def kind_of(name: str, root: Path) -> lines.Kind:
    """What a file holds: a .jsonl file what its first line does. Raises SpecError."""
    if not name.endswith(lines.SUFFIXES):
        return "text"
    return next((record.kind for record in _records(name, root)), "text")


def examples(name: str, root: Path) -> Iterator[Example]:
    """A text file as one text, the others record by record. Raises SpecError, which names the first bad line."""
    if name.endswith(lines.SUFFIXES):
        yield from (record.example for record in _records(name, root))
    else:
        yield Example("".join(decoded(name, root)), "")


def check(name: str, root: Path) -> None:
    """Raises SpecError unless the whole file can be used."""
    for _ in _records(name, root) if name.endswith(lines.SUFFIXES) else decoded(name, root):
        pass


def stamp(name: str, root: Path) -> tuple[int, int, int]:
    """Inode, size and change time in ns: what tells that a file is still the one that was hashed."""
    with os.fdopen(_open_inside(name, root), "rb") as file:
        status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


def _records(name: str, root: Path) -> Iterator[lines.Record]:
    kind = None
    with os.fdopen(_open_inside(name, root), "rb") as file:
        number = 0
        while line := file.readline(lines.LINE_BYTES_LIMIT + 2):
            number += 1
            if not line.strip():
                continue
            try:
                record = lines.parse(line.rstrip(b"\n"), Path(name).suffix)
            except lines.LineError as error:
                raise refusal(f"Line {number:,} of '{name}' cannot be used: {error}.") from None
            kind = kind or record.kind
            if record.kind != kind:
                raise refusal(f"Line {number:,} of '{name}' holds {record.kind}; the first holds {kind}.")
            yield record
    if kind is None:
        raise refusal(f"'{name}' holds no text.")


def refusal(message: str, **fix: str) -> SpecError:
    return refused("data.corpus", message, {f"data.{key}": value for key, value in fix.items()})


def refused(field: str, message: str, fix: Mapping[str, object]) -> SpecError:
    return SpecError([Problem(field, message, fix)])


def decoded(name: str, root: Path) -> Iterator[str]:
    """The file's text in pieces of 1 MiB of bytes."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    done_bytes = 0
    anything = False
    with os.fdopen(_open_inside(name, root), "rb") as file:
        while piece := file.read(1 << 20):
            try:
                text = decoder.decode(piece)
            except UnicodeDecodeError as error:
                near = done_bytes + error.start
                raise refusal(f"'{name}' is not UTF-8 text: near byte {near:,}, {error.reason}.") from None
            done_bytes += len(piece)
            anything = anything or bool(text.strip())
            yield text
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise refusal(f"'{name}' is not UTF-8 text: it ends in the middle of a character.") from None
    if not anything:
        raise refusal(f"'{name}' holds no text.")


def _open_inside(name: str, root: Path) -> int:
    """A descriptor of a regular file below the root. Opened part by part without following links, so that
    what was checked is what is read."""
    parts = _parts(name)
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
        raise refusal(_why_not_opened(name, error)) from None
    status = os.fstat(opened)
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= FILE_BYTES_LIMIT:
        os.close(opened)
        if not stat.S_ISREG(status.st_mode):
            raise refusal(f"'{name}' is not a regular file.")
        if status.st_size == 0:
            raise refusal(f"'{name}' is empty.")
        raise refusal(f"'{name}' has {status.st_size:,} bytes; the limit is {FILE_BYTES_LIMIT:,}.")
    return opened


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise refusal(
            f"'{name}' lies outside the data folder; give a path inside it, such as notes/letters.txt."
        )
    return parts


def _why_not_opened(name: str, error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return f"'{name}' is a symbolic link, or leads through one; put the file itself into the data folder."
    if error.errno == errno.ENOENT:
        return f"There is no file '{name}' in the data folder."
    if error.errno == errno.ENOTDIR:
        return f"'{name}' leads through something that is not a folder (links are not followed)."
    return f"'{name}' cannot be read: {error.strerror}."
