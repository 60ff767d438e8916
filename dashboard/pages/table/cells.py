"""Cells of a table row: attributes, metrics, parameters and tags of a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from dashboard.html import format as units
from dashboard.pages.table import columns
from dashboard.pages.table.columns import TableColumn
from jobs import runs
from jobs.models import Run

Values = Mapping[tuple[str, runs.Field], Any]


class Cell(NamedTuple):
    """`kind` selects the markup: text, number, state or time."""

    column: TableColumn
    kind: str
    text: str
    value: Any = None
    is_best: bool = False


def build_cell(run: Run, column: TableColumn, values: Values, tags: Mapping[str, str], now: datetime) -> Cell:
    field = column.field
    if field.kind == "attribute":
        kind, value = ATTRIBUTE_CELLS[field.key](run, now)
        return Cell(
            column, kind, columns.format_value(field, value) if kind == "number" else str(value or ""), value
        )
    if field.kind == "tag":
        value = tags.get(field.key)
        return Cell(
            column, "text", "✓" if value == "" else value or units.ABSENT, "yes" if value == "" else value
        )
    value = values.get((run.id, field))
    is_number = field.kind == "metric" or (value is not None and _is_number(value))
    return Cell(column, "number" if is_number else "text", columns.format_value(field, value), value)


def get_state(run: Run) -> str:
    return run.job.state if run.job else run.state


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _steps(run: Run, now: datetime) -> tuple[str, Any]:
    return "number", run.job.step if run.job else None


def _duration(run: Run, now: datetime) -> tuple[str, Any]:
    started = run.job.started_at if run.job and run.job.started_at else run.started_at
    ended = run.job.ended_at if run.job and run.job.ended_at else run.ended_at
    return "number", None if started is None else max(0.0, ((ended or now) - started).total_seconds())


# Attribute -> kind and value of a loaded run. jobs.runs.ATTRIBUTES reads the same values in the database.
ATTRIBUTE_CELLS: dict[str, Any] = {
    "name": lambda run, now: ("text", run.name),
    "state": lambda run, now: ("state", get_state(run)),
    "owner": lambda run, now: ("text", run.owner.username),
    "project": lambda run, now: ("text", run.project.name if run.project else ""),
    "pool": lambda run, now: ("text", run.job.pool.name if run.job else ""),
    "team": lambda run, now: ("text", run.team.slug),
    "steps": _steps,
    "devices": lambda run, now: ("number", run.job.num_devices if run.job else None),
    "created": lambda run, now: ("time", run.created_at),
    "started": lambda run, now: ("time", (run.job.started_at if run.job else None) or run.started_at),
    "ended": lambda run, now: ("time", (run.job.ended_at if run.job else None) or run.ended_at),
    "duration": _duration,
    "verdict": lambda run, now: ("text", run.verdict_text),
    "limit": lambda run, now: ("text", run.verdict_limit),
    "share": lambda run, now: ("number", run.verdict_share),
    "severity": lambda run, now: ("text", run.verdict_severity),
    "health": lambda run, now: ("text", run.health_text),
    "goodput": lambda run, now: ("number", run.ledger_goodput),
    "clock_rate": lambda run, now: ("number", run.ledger_rate),
    "note": lambda run, now: ("text", run.note.split("\n", 1)[0][:120]),
    "origin": lambda run, now: ("text", run.origin),
    "parent": lambda run, now: ("text", run.parent.name if run.parent else ""),
    "job": lambda run, now: ("text", run.job_id or ""),
    "id": lambda run, now: ("text", run.id),
}
