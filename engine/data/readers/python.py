"""What comes with every Python: its documentation topics, and the source of its standard library."""

from __future__ import annotations

import importlib.util
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from engine.data.examples import Example

LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def topics() -> Iterator[Example]:
    from pydoc_data.topics import topics as found  # 0.7 MB of literals, needed only while preparing

    for name in sorted(found):
        yield Example(found[name], "")


def sources() -> Iterator[Example]:
    for _, text in modules():
        yield Example(text, "")


def modules() -> Iterator[tuple[str, str]]:
    """Path below the library and text of each file of the standard library that can be read, without its tests."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        if LEFT_OUT & set(path.relative_to(root).parts):
            continue
        try:
            text = importlib.util.decode_source(path.read_bytes())
        except (UnicodeDecodeError, SyntaxError):
            continue  # the library ships a few files in broken encodings on purpose, for its own parser's sake
        if text.strip():
            yield path.relative_to(root).as_posix(), text
