"""Names, notes, colours, tags and archiving of runs, each with its event."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from engine.request_limits import BULK_RUNS, NOTE_CHARS, RUN_NAME_CHARS
from jobs.models import Run, RunEvent, RunTag
from jobs.tracking.external_runs import TrackingError, check_tag

ROWS_A_STATEMENT = 500  # SQLite takes at most 32,766 values a statement
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def change(run: Run, *, actor: str, **fields: str) -> None:
    """Set name, note or colour ('': the derived colour); each change is an event with the old and the new value. Raises
    TrackingError with the sentence for its field."""
    for field, value in fields.items():
        if error := _field_error(field, value):
            raise TrackingError(error)
    with transaction.atomic():
        current = Run.objects.select_for_update().get(id=run.id)
        for field, value in fields.items():
            old = getattr(current, field)
            if old != value:
                text = f"{field}: {old[:200]!r} -> {value[:200]!r}"
                RunEvent.objects.create(run=run, actor=actor, kind=f"run.{field}", text=text)
        Run.objects.filter(id=run.id).update(**fields)
    for field, value in fields.items():
        setattr(run, field, value)


def _field_error(field: str, value: str) -> str:
    if "\0" in value:
        return "A NUL character cannot be kept. Leave it out."
    if field == "name" and not 0 < len(value.strip()) <= RUN_NAME_CHARS:
        return f"A name has 1 to {RUN_NAME_CHARS} characters; this one has {len(value.strip())}."
    if field == "note" and (broken := NOTE_CHARS.error(len(value))):
        return broken
    if field == "colour" and value and not COLOUR.fullmatch(value):
        return f"'{value[:20]}' is not a colour. Write one as #2f5bd7, or nothing for the derived colour."
    return ""


def tags_from_text(text: str) -> dict[str, str]:
    """The tags in a text such as `baseline, stage=final`. Raises TrackingError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = part.partition("=")
        key, value = key.strip(), value.strip()
        check_tag(key, value)
        found[key] = value
    return found


def tag(runs: QuerySet[Run], add: Mapping[str, str], drop: Iterable[str], *, actor: str) -> int:
    """Add and remove tags of all these runs; returns the number of runs."""
    dropped = list(drop)
    text = ", ".join(
        [
            *(f"+{key}={value}" if value else f"+{key}" for key, value in add.items()),
            *(f"-{key}" for key in dropped),
        ]
    )

    def write(ids: Sequence[str]) -> Sequence[str]:
        RunTag.objects.filter(run__in=ids, key__in=dropped).delete()
        rows = [RunTag(run_id=run_id, key=key, value=value) for run_id in ids for key, value in add.items()]
        RunTag.objects.bulk_create(
            rows,
            batch_size=ROWS_A_STATEMENT,
            update_conflicts=True,
            unique_fields=["run", "key"],
            update_fields=["value"],
        )
        return ids

    return _in_groups(runs, write, actor, "tagged", text)


def archive(runs: QuerySet[Run], *, actor: str) -> int:
    """Hide runs from lists; nothing is deleted. Returns how many were visible before."""
    return _set_archived(runs, actor, is_archived=True)


def restore(runs: QuerySet[Run], *, actor: str) -> int:
    return _set_archived(runs, actor, is_archived=False)


def _set_archived(runs: QuerySet[Run], actor: str, *, is_archived: bool) -> int:
    now = timezone.now()

    def write(ids: Sequence[str]) -> Sequence[str]:
        others = Run.objects.select_for_update().filter(id__in=ids, archived_at__isnull=is_archived)
        moved = list(others.order_by("id").values_list("id", flat=True))
        Run.objects.filter(id__in=moved).update(archived_at=now if is_archived else None)
        return moved

    return _in_groups(runs, write, actor, "archived" if is_archived else "restored", "")


def _in_groups(
    runs: QuerySet[Run], write: Callable[[Sequence[str]], Sequence[str]], actor: str, what: str, text: str
) -> int:
    """All or nothing; `write` returns the runs that it changed. Raises TrackingError for too many runs."""
    with transaction.atomic():
        ids = sorted(runs.order_by().values_list("id", flat=True)[: BULK_RUNS + 1])
        if broken := BULK_RUNS.error(len(ids)):
            raise TrackingError(broken)
        changed = [
            one
            for first in range(0, len(ids), ROWS_A_STATEMENT)
            for one in write(ids[first : first + ROWS_A_STATEMENT])
        ]
        events = [RunEvent(run_id=run_id, actor=actor, kind=f"run.{what}", text=text) for run_id in changed]
        RunEvent.objects.bulk_create(events, batch_size=ROWS_A_STATEMENT)
    return len(changed)
