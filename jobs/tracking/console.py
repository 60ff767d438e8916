"""Output of runs that scripts log, by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from engine.request_limits import CONSOLE_LINE_CHARS, CONSOLE_LINES, RUN_CONSOLE_LINES, text_error
from jobs.models import ConsolePart, Run
from jobs.tracking.external_runs import TrackingError

TAIL_PARTS = 200


@dataclass(frozen=True)
class ConsoleTail:
    """The last lines of one source; `first` is the number of the first of them, from 0."""

    source: str
    first: int
    lines: list[str]
    sources: list[str]


def store(run: Run, source: str, first: int, lines: Sequence[str]) -> None:
    """Store lines from number `first` on, replacing what was stored from there on; the same request twice changes
    nothing. Raises TrackingError."""
    broken = CONSOLE_LINES.error(len(lines)) or RUN_CONSOLE_LINES.error(first + len(lines))
    for line in lines:
        broken = broken or CONSOLE_LINE_CHARS.error(len(line)) or text_error(line)
    if broken:
        raise TrackingError(broken)
    with transaction.atomic():
        run.console_parts.filter(source=source, first__gt=first).delete()
        ConsolePart.objects.update_or_create(
            run=run,
            source=source,
            first=first,
            defaults={"num_lines": len(lines), "text": "\n".join(lines)},
        )


def read_tail(run: Run, source: str, num_lines: int) -> ConsoleTail:
    """The last lines of a source; of the first source if it is ''."""
    sources = list(run.console_parts.order_by("source").values_list("source", flat=True).distinct())
    source = source or ("run" if "run" in sources else next(iter(sources), ""))
    lines: list[str] = []
    end: int | None = None
    first = 0
    for part in run.console_parts.filter(source=source).order_by("-first")[:TAIL_PARTS]:
        own = part.text.split("\n") if part.num_lines else []
        lines = (own if end is None else own[: end - part.first]) + lines
        end = first = part.first
        if len(lines) >= num_lines:
            break
    surplus = max(0, len(lines) - num_lines)
    return ConsoleTail(source, first + surplus, lines[surplus:], sources)
