"""Media of runs: images, tables, histograms, texts, audio and video, by name and step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Min, QuerySet

from engine.request_limits import MEDIA_ENTRIES, MEDIA_ITEM_BYTES, MEDIA_ITEMS, RUN_MEDIA, values_error
from jobs.models import MediaEntry, Run
from jobs.tracking.external_runs import TrackingError

KINDS = ("image", "video", "audio", "table", "histogram", "html", "text", "file")


@dataclass(frozen=True)
class MediaName:
    """A name under which a run logged media, with the range of its steps."""

    key: str
    source: str
    kind: str
    num_steps: int
    first_step: int
    last_step: int


def store(run: Run, entries: Sequence[dict[str, Any]]) -> int:
    """Store media entries; one of the same name, source and step is replaced. Raises TrackingError, and then none is
    stored. Returns their number."""
    if broken := MEDIA_ENTRIES.error(len(entries)) or next(filter(None, map(_entry_error, entries)), ""):
        raise TrackingError(broken)
    if broken := RUN_MEDIA.error(run.media.count() + len(entries)):
        raise TrackingError(broken)
    newest = {(one["key"], one["source"], one["step"]): one for one in entries}
    rows = [
        MediaEntry(run=run, key=one["key"], source=one["source"], kind=one["kind"], step=one["step"],
                   at=one["at_us"] / 1e6, items=one["items"])
        for one in newest.values()
    ]  # fmt: skip
    MediaEntry.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["run", "key", "source", "step"],
        update_fields=["kind", "at", "items"],
    )
    return len(rows)


def list_names(run: Run) -> list[MediaName]:
    """The names of a run's media, sorted."""
    rows = (
        run.media.order_by()
        .values("key", "source", "kind")
        .annotate(num_steps=Count("id"), first_step=Min("step"), last_step=Max("step"))
        .order_by("key", "source", "kind")
    )
    return [MediaName(**row) for row in rows]


def find_entries(run: Run, key: str, source: str = "run") -> QuerySet[MediaEntry]:
    """By step."""
    return run.media.filter(key=key, source=source).order_by("step")


def get_at_step(run: Run, name: MediaName, step: int | None) -> MediaEntry | None:
    """The newest entry up to a step, by default the last one; the first one if all are later."""
    entries = run.media.filter(key=name.key, source=name.source, kind=name.kind)
    if step is not None and (found := entries.filter(step__lte=step).order_by("-step").first()):
        return found
    return entries.order_by("-step" if step is None else "step").first()


def _entry_error(entry: dict[str, Any]) -> str:
    if entry["kind"] not in KINDS:
        return f"'{entry['kind'][:50]}' is no kind of media. Use one of {', '.join(KINDS)}."
    if broken := MEDIA_ITEMS.error(len(entry["items"])):
        return broken
    for item in entry["items"]:
        if broken := values_error(item) or MEDIA_ITEM_BYTES.error(len(json.dumps(item))):
            return broken
    return values_error(entry["key"])
