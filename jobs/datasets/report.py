"""Refused lines of an upload, for display and as a CSV file."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

from jobs.accounting import table
from jobs.datasets import content
from jobs.models import Dataset


def refused_lines(dataset: Dataset, limit: int | None = None) -> list[dict[str, Any]]:
    """`number`, `reason` and `beginning` of the first `limit` refused lines, in file order."""
    return [
        json.loads(line) for line in itertools.islice(content.read_lines(dataset, content.REFUSED), limit)
    ]


def refused_csv(dataset: Dataset) -> Iterator[str]:
    """All refused lines as CSV, row by row, with formulas escaped."""
    yield _csv_row(["line", "reason", "beginning"])
    for line in content.read_lines(dataset, content.REFUSED):
        refused = json.loads(line)
        yield _csv_row(
            [
                refused["number"],
                table.escape_formula(refused["reason"]),
                table.escape_formula(refused["beginning"]),
            ]
        )


def _csv_row(cells: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
