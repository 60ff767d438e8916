"""Media in one call of log(), as entries for the server and files for the uploader."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Optional

from fourwalls import values
from fourwalls.media.base import Content, Media, StoreFile
from fourwalls.media.images import Image
from fourwalls.media.tables import Histogram, Plotly, Text

ITEMS = 256  # of one key and step; a longer list is cut, with a warning
WAITING_BYTES = 512 * 1024 * 1024  # of media that wait for the disk; more are dropped and counted
FILE_PARTS = re.compile(r"[^A-Za-z0-9_.\-/]+")

log = logging.getLogger("fourwalls")
Found = dict[str, list[Media]]


def split(data: Mapping[Any, Any], path: str = "") -> tuple[dict[str, Any], Found]:
    """The rest of a log() call, and its media by name. Figures, texts, and arrays of several numbers are media too."""
    rest: dict[str, Any] = {}
    found: Found = {}
    for key, value in data.items():
        name = f"{path}/{key}" if path else str(key)
        if value.__class__ in values.PLAIN_TYPES:
            rest[name] = value
        elif isinstance(value, Mapping):
            below, found_below = split(value, name)
            rest.update(below)
            found.update(found_below)
        elif (media := _to_media(name, value)) is not None:
            if usable := [one for one in media if not one.problem]:
                found[name] = usable
        else:
            rest[name] = value
    return rest, found


def build(
    found: Found, step: int, at_us: int, source: str
) -> tuple[list[dict[str, Any]], list[tuple[str, Content]]]:
    """Entries of one call and the files that they name."""
    entries: list[dict[str, Any]] = []
    files: list[tuple[str, Content]] = []
    for name, media in found.items():
        if len(media) > ITEMS:
            log.warning("%s has %d items; the first %d are logged.", name[:100], len(media), ITEMS)
        key = values.clean_text(name, values.METRIC_CHARS)
        folder = FILE_PARTS.sub("_", key if source == "run" else f"{source}/{key}")
        store = _file_store(files, f"media/{folder}/{step}")
        items = [one.describe(store) for one in media[:ITEMS]]
        entries.append(
            {
                "key": key,
                "kind": media[0].kind,
                "step": step,
                "at_us": at_us,
                "source": source,
                "items": items,
            }
        )
    return entries, files


def count_bytes(files: list[tuple[str, Content]]) -> int:
    return sum(len(content) if isinstance(content, bytes) else content.stat().st_size for _, content in files)


def _file_store(files: list[tuple[str, Content]], stem: str) -> StoreFile:
    def store(content: Content, extension: str) -> str:
        number = sum(name.startswith(f"{stem}-") for name, _ in files)
        files.append((f"{stem}-{number}.{extension}", content))
        return files[-1][0]

    return store


def _to_media(name: str, value: Any) -> Optional[list[Media]]:
    """The media in a value; None for a number, and for what is neither."""
    try:
        if isinstance(value, Media):
            return [value]
        if isinstance(value, str):
            return [Text(value)]
        if isinstance(value, (list, tuple)) and value and all(isinstance(one, Media) for one in value):
            return list(value)
        if callable(getattr(value, "savefig", None)):
            return [Image(value)]
        if callable(getattr(value, "to_plotly_json", None)):
            return [Plotly(value)]
        if _num_elements(value) > 1:
            return [Histogram(value)]
    except Exception as error:  # noqa: BLE001 - one item must not keep the others away
        log.warning("%s is not logged: %r", name[:100], error)
    return None


def _num_elements(value: Any) -> int:
    """Of an array or tensor; 0 for anything else."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not hasattr(value, "dtype"):
        return 0
    count = 1
    for length in shape:
        count *= int(length)
    return count
