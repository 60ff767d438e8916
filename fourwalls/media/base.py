"""Common part of logged media: what is stored of them, and where arrays come from."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, Union

CAPTION_CHARS = 2_000
Content = Union[bytes, Path]
log = logging.getLogger("fourwalls")
StoreFile = Callable[[Content, str], str]  # content, extension -> the path of the file in the run


class MediaError(ValueError):
    """Data that cannot be shown; the message names it."""


def _never_raises(construct: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(construct)
    def guarded(self: Media, *values: Any, **named: Any) -> None:
        try:
            construct(self, *values, **named)
        except Exception as error:  # noqa: BLE001 - logging must not end training
            self.problem = str(error) or repr(error)
            log.warning("%s is not logged: %s", type(self).__name__, self.problem)

    return guarded


class Media:
    """One logged item. It holds a copy of its data, so that the original may change after its construction."""

    kind = ""
    caption: str = ""
    problem = ""  # why it holds nothing: a constructor never ends a script

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if "__init__" in cls.__dict__:
            cls.__init__ = _never_raises(cls.__init__)  # type: ignore[method-assign]

    def describe(self, store: StoreFile) -> dict[str, Any]:
        """The item as the server keeps it; `store` takes each of its files."""
        raise NotImplementedError

    def with_caption(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "caption": self.caption[:CAPTION_CHARS]} if self.caption else item


class FileMedia(Media):
    """An item of one file: bytes in memory, or the path of a file that is read when it is logged."""

    def __init__(self, content: Content, extension: str, caption: Any = None) -> None:
        self.content, self.extension = content, extension
        self.caption = "" if caption is None else str(caption)

    def describe(self, store: StoreFile) -> dict[str, Any]:
        return self.with_caption({"path": store(self.content, self.extension), **self.details()})

    def details(self) -> dict[str, Any]:
        return {}


def find_file(data: Any, what: str) -> Optional[Path]:
    """The file that a text or path names; None for other data. Raises MediaError for a missing file."""
    if not isinstance(data, (str, Path)):
        return None
    path = Path(data)
    if not path.is_file():
        raise MediaError(f"The {what} {str(data)[:200]!r} is no file.")
    return path


def get_extension(path: Path, known: tuple[str, ...]) -> str:
    extension = path.suffix.lower().lstrip(".")
    if extension not in known:
        raise MediaError(f"{path.name[:100]!r} is none of {', '.join(known)}.")
    return extension


def to_array(data: Any) -> Any:
    """A NumPy array, from an array, tensor (also on a GPU) or nested list. Raises MediaError without NumPy."""
    for step in ("detach", "cpu"):
        if callable(found := getattr(data, step, None)):
            data = found()
    try:
        import numpy
    except ImportError:
        raise MediaError("Arrays need NumPy, which is not installed here.") from None
    if str(getattr(data, "dtype", "")).endswith("bfloat16"):
        data = data.float()
    return numpy.asarray(data)
