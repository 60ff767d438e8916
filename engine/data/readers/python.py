"""Texts that ship with Python: documentation topics, standard library source."""

from __future__ import annotations

import importlib.util
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from engine.data.examples import Example

LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def read_topics() -> Iterator[Example]:
    """Yield Python's documentation topics."""
    from pydoc_data.topics import topics as found  # 0.7 MB of literals, needed only while preparing

    for name in sorted(found):
        yield Example(found[name], "")


def read_sources() -> Iterator[Example]:
    """Yield the source files of the standard library."""
    for _, text in read_modules():
        yield Example(text, "")


def read_modules() -> Iterator[tuple[str, str]]:
    """Yield (relative path, text) of each readable file of the standard library, without its tests."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        if LEFT_OUT & set(path.relative_to(root).parts):
            continue
        try:
            text = importlib.util.decode_source(path.read_bytes())
        except (UnicodeDecodeError, SyntaxError):
            continue  # some files of the library have a broken encoding on purpose, to test its parser
        if text.strip():
            yield path.relative_to(root).as_posix(), text
