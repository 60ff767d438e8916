"""Text tables, sizes and durations for terminals."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

GIB = 1024**3


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first is aligned left, the others right."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def format_bytes(value: float | None) -> str:
    if value is None:
        return "unknown"
    for unit, size in (("GiB", GIB), ("MiB", 1024**2), ("KiB", 1024)):
        if value >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value:,.0f} B"


def format_s(value: float) -> str:
    if value >= 3600:
        return f"{value / 3600:,.1f} h"
    if value >= 1:
        return f"{value:,.2f} s"
    return f"{1000 * value:,.1f} ms"


def format_percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def write(text: str) -> None:
    sys.stdout.write(text + "\n")


def write_json(values: Any) -> None:
    write(json.dumps(values, indent=1))
