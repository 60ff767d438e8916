"""The lines of an upload that were refused: to be shown, and to be saved whole."""

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


def refused(dataset: Dataset, limit: int | None = None) -> list[dict[str, Any]]:
    """`number`, `reason` and `beginning` of the first so many, in the order of the file."""
    return [json.loads(line) for line in itertools.islice(content.lines(dataset, content.REFUSED), limit)]


def as_csv(dataset: Dataset) -> Iterator[str]:
    """All of them, line by line. Whatever a spreadsheet would run as a formula stands as text."""
    yield _row(["line", "reason", "beginning"])
    for line in content.lines(dataset, content.REFUSED):
        told = json.loads(line)
        yield _row(
            [told["number"], table.escape_formula(told["reason"]), table.escape_formula(told["beginning"])]
        )


def _row(cells: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
