"""Media of a run as its page shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.request_limits import whole_number
from jobs.models import Artefact, MediaEntry, Run
from jobs.tracking import artefacts, media
from jobs.tracking.media import MediaName

NAMES_SHOWN = 24
TABLE_ROWS = 100
TABLE_BYTES = 20_000_000
STEPS_DRAWN, BINS_DRAWN = 48, 32
WIDTH, HEIGHT = 320, 120


@dataclass
class ShownEntry:
    """The media of one name at one of its steps."""

    name: MediaName
    index: int  # of the step among the name's steps
    entry: MediaEntry
    items: list[dict[str, Any]]

    @property
    def last_index(self) -> int:
        return self.name.num_steps - 1


def build_context(run: Run, text: str = "", *, shows_all: bool = False) -> dict[str, Any]:
    """The newest media of each name; the first NAMES_SHOWN of them unless `shows_all`."""
    every = media.list_names(run)
    found = [name for name in every if text.lower() in name.key.lower()]
    shown = found if shows_all else found[:NAMES_SHOWN]
    return {
        "run": run,
        "media": [one for name in shown if (one := show(run, name, name.num_steps - 1))],
        "num_names": len(every),
        "num_found": len(found),
        "text": text,
    }


def find_shown(run: Run, key: str, source: str, kind: str, index: str) -> ShownEntry | None:
    names = (one for one in media.list_names(run) if (one.key, one.source, one.kind) == (key, source, kind))
    name = next(names, None)
    return show(run, name, whole_number(index) or 0) if name else None


def show(run: Run, name: MediaName, index: int) -> ShownEntry | None:
    entries = media.find_entries(run, name.key, name.source).filter(kind=name.kind)
    entry = entries[max(0, index) : max(0, index) + 1].first()
    if entry is None:
        return None
    paths = [item["path"] for item in entry.items if "path" in item]
    files = {one.path: one for one in run.artefacts.filter(path__in=paths)}
    items = [_show_item(run, name, item, files) for item in entry.items]
    if name.kind == "histogram" and name.num_steps > 1:
        items.append({"heat": draw_heat(list(entries.values_list("step", "items")))})
    return ShownEntry(name, max(0, index), entry, items)


def _show_item(run: Run, name: MediaName, item: dict[str, Any], files: dict[str, Artefact]) -> dict[str, Any]:
    file = files.get(item.get("path", ""))
    shown = {**item, "file": file, "is_missing": "path" in item and file is None}
    if name.kind == "histogram":
        shown["bars"] = draw_bars(item.get("counts") or [], item.get("edges") or [])
    elif name.kind == "table" and file:
        shown["table"] = read_table(run, file)
    return shown


def read_table(run: Run, file: Artefact) -> dict[str, Any]:
    """Columns and the first rows of a stored table, with links for the media in its cells; or the reason why not."""
    if file.size_bytes > TABLE_BYTES:
        return {"reason": f"The table has {file.size_bytes:,} bytes; download it."}
    try:
        content = json.loads(artefacts.find_file(file).read_bytes())
        columns, rows = list(content["columns"]), list(content["rows"])
    except (artefacts.ArtefactMissing, OSError, ValueError, KeyError, TypeError) as error:
        return {"reason": f"The table cannot be read: {error}"}
    shown = [list(row) for row in rows[:TABLE_ROWS] if isinstance(row, list)]
    paths = [cell["path"] for row in shown for cell in row if isinstance(cell, dict) and "path" in cell]
    files = dict(run.artefacts.filter(path__in=paths[:1000]).values_list("path", "id"))
    cells = [[_show_cell(cell, files) for cell in row] for row in shown]
    return {"columns": columns, "rows": cells, "num_rows": len(rows), "num_shown": len(shown)}


def _show_cell(cell: Any, files: dict[str, str]) -> dict[str, Any]:
    if isinstance(cell, dict):
        return {
            "kind": cell.get("kind"),
            "file": files.get(cell.get("path", "")),
            "text": cell.get("caption", ""),
        }
    return {"text": "" if cell is None else cell, "is_number": isinstance(cell, int | float)}


def draw_bars(counts: Sequence[float], edges: Sequence[float]) -> dict[str, Any]:
    """Bars of a histogram as rectangles (x, y, width, height) of a drawing of WIDTH x HEIGHT."""
    if not counts or len(edges) != len(counts) + 1:
        return {}
    highest, low, span = max(counts) or 1, edges[0], (edges[-1] - edges[0]) or 1
    boxes = []
    for index, count in enumerate(counts):
        height = round(HEIGHT * max(count, 0) / highest, 2)
        left = round(WIDTH * (edges[index] - low) / span, 2)
        width = round(max(0.5, WIDTH * (edges[index + 1] - edges[index]) / span), 2)
        boxes.append((left, round(HEIGHT - height, 2), width, height))
    return {"boxes": boxes, "low": edges[0], "high": edges[-1], "total": sum(counts), "highest": highest}


def draw_heat(rows: Sequence[tuple[int, list[dict[str, Any]]]]) -> dict[str, Any]:
    """Histograms over steps as cells (x, y, width, height, opacity): steps to the right, values upwards, over the range
    of all of them. Of more steps than STEPS_DRAWN, evenly chosen ones with the first and the last."""
    found = [(step, items[0]) for step, items in rows if items and len(items[0].get("edges") or ()) > 1]
    if len(found) > STEPS_DRAWN:
        places = [round(index * (len(found) - 1) / (STEPS_DRAWN - 1)) for index in range(STEPS_DRAWN)]
        found = [found[place] for place in places]
    if len(found) < 2:
        return {}
    low = min(item["edges"][0] for _, item in found)
    high = max(item["edges"][-1] for _, item in found)
    width, height = WIDTH / len(found), HEIGHT / BINS_DRAWN
    cells = []
    for column, (_, item) in enumerate(found):
        shares = rebin(item["counts"], item["edges"], low, high, BINS_DRAWN)
        most = max(shares) or 1
        for row, share in enumerate(shares):
            if share > 0:
                y = HEIGHT - (row + 1) * height
                cells.append((round(column * width, 2), round(y, 2), round(width + 0.3, 2), round(height + 0.3, 2),
                              round(0.1 + 0.9 * share / most, 3)))  # fmt: skip
    return {"cells": cells, "first": found[0][0], "last": found[-1][0], "low": low, "high": high}


def rebin(
    counts: Sequence[float], edges: Sequence[float], low: float, high: float, num_bins: int
) -> list[float]:
    """The counts on `num_bins` equal bins from `low` to `high`; a count is spread evenly over its own bin."""
    result = [0.0] * num_bins
    width = (high - low) / num_bins or 1.0
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=False):
        if count <= 0:
            continue
        first = min(num_bins - 1, max(0, int((left - low) / width)))
        last = min(num_bins - 1, max(first, int((right - low) / width)))
        if right <= left:
            result[first] += count
            continue
        for index in range(first, last + 1):
            overlap = min(right, low + (index + 1) * width) - max(left, low + index * width)
            result[index] += count * max(0.0, overlap) / (right - left)
    return result
