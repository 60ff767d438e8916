"""The texts a run can train on: built-in corpora, and text files of the data folder."""

from __future__ import annotations

import codecs
import difflib
import errno
import importlib.util
import os
import stat
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.spec import Problem, SpecError

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst")
# A corpus is tokenised in memory, which takes some ten times its size.
FILE_BYTES_LIMIT = 1024**3
FILES_LISTED = 200


@dataclass(frozen=True)
class Document:
    """One text that hangs together; `name` is for people only."""

    name: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """A built-in corpus. `version` goes up when `documents` would give another text on the same Python."""

    name: str
    title: str
    licence: str
    version: int
    documents: Callable[[], Iterator[Document]]

    @property
    def identity(self) -> str:
        """Cheap stand-in for the text's hash: the Python build it comes with, and the builder's version."""
        return f"{self.name} {self.version} {sys.implementation.cache_tag} {sys.version}"


@dataclass(frozen=True)
class Choice:
    name: str
    title: str


def _python_docs() -> Iterator[Document]:
    from pydoc_data.topics import topics  # 0.7 MB of literals, needed only while preparing

    for name in sorted(topics):
        yield Document(name, topics[name])


def _python_source() -> Iterator[Document]:
    root = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        if left_out & set(path.relative_to(root).parts):
            continue
        try:
            text = importlib.util.decode_source(path.read_bytes())
        except (UnicodeDecodeError, SyntaxError):
            continue  # the library ships a few files in broken encodings on purpose, for its own parser's sake
        if text.strip():
            yield Document(path.relative_to(root).as_posix(), text)


CORPORA: tuple[Corpus, ...] = (
    Corpus("python-docs", "Python's documentation topics (0.5 MB)", "PSF-2.0", 1, _python_docs),
    Corpus("python-source", "Source of Python's standard library (11 MB)", "PSF-2.0", 1, _python_source),
)
BY_NAME: dict[str, Corpus] = {corpus.name: corpus for corpus in CORPORA}


def check_corpus(name: str, corpus_root: str | os.PathLike[str]) -> None:
    """Raise SpecError on field data.corpus unless `name` is built in or a usable text file in the folder."""
    if name not in BY_NAME:
        for _ in _decoded(name, Path(corpus_root)):
            pass


def file_documents(name: str, corpus_root: Path) -> Iterator[Document]:
    """A text file as one document. Raises SpecError as check_corpus does."""
    yield Document(name, "".join(_decoded(name, corpus_root)))


def file_stamp(name: str, corpus_root: Path) -> tuple[int, int, int]:
    """Inode, size and change time in ns: what tells that a file is still the one that was hashed."""
    with os.fdopen(_open_inside(name, corpus_root), "rb") as file:
        status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


def listing(corpus_root: str | os.PathLike[str] | None = None) -> list[Choice]:
    """What a form offers: the built-in corpora, then text files of the folder (the first 200 by name)."""
    choices = [Choice(corpus.name, corpus.title) for corpus in CORPORA]
    if corpus_root is None or not Path(corpus_root).is_dir():
        return choices
    root = Path(corpus_root)
    files = sorted(
        p for p in root.rglob("*") if p.suffix in TEXT_SUFFIXES and p.is_file() and not p.is_symlink()
    )
    names = [path.relative_to(root).as_posix() for path in files[:FILES_LISTED]]
    return choices + [Choice(name, f"{name} (text file)") for name in names]


def _refuse(message: str, **fix: str) -> SpecError:
    return SpecError([Problem("data.corpus", message, {f"data.{key}": value for key, value in fix.items()})])


def _decoded(name: str, root: Path) -> Iterator[str]:
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
                raise _refuse(f"'{name}' is not UTF-8 text: near byte {near:,}, {error.reason}.") from None
            done_bytes += len(piece)
            anything = anything or bool(text.strip())
            yield text
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _refuse(f"'{name}' is not UTF-8 text: it ends in the middle of a character.") from None
    if not anything:
        raise _refuse(f"'{name}' holds no text.")


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
        raise _refuse(_why_not_opened(name, error)) from None
    status = os.fstat(opened)
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= FILE_BYTES_LIMIT:
        os.close(opened)
        if not stat.S_ISREG(status.st_mode):
            raise _refuse(f"'{name}' is not a regular file.")
        if status.st_size == 0:
            raise _refuse(f"'{name}' is empty.")
        raise _refuse(f"'{name}' has {status.st_size:,} bytes; the limit is {FILE_BYTES_LIMIT:,}.")
    return opened


def _parts(name: str) -> tuple[str, ...]:
    built_in = ", ".join(BY_NAME)
    if not name.endswith(TEXT_SUFFIXES):
        near = difflib.get_close_matches(name, BY_NAME, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise _refuse(
            f"'{name}' is neither a built-in corpus ({built_in}) nor the name of a text file "
            f"({', '.join(TEXT_SUFFIXES)}).{hint}",
            **({"corpus": near[0]} if near else {}),
        )
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise _refuse(
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
