"""Rows, parts and folder of a measurement."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ABOUT = "about.json"
# How the error follows from prediction and measurement
RELATIVE, DIFFERENCE = "predicted / measured - 1", "predicted - measured"
MEASURED, DRY_RUN, ABSENT, FAILED = "measured", "dry run", "absent", "failed"


@dataclass
class Row:
    """One question with its answer. Without a figure, `note` gives the reason."""

    quantity: str  # rows of one quantity are summed up together
    asked: str
    unit: str = ""
    predicted: float | None = None
    measured: float | None = None
    error_is: str = RELATIVE
    standing: str = MEASURED
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    error: float | None = None

    def __post_init__(self) -> None:
        if self.error is None:
            self.error = compute_error(self.predicted, self.measured, self.error_is)


@dataclass
class PartResult:
    """What one part found, complete or up to where it ended."""

    part: str
    title: str
    is_dry_run: bool
    budget_s: float
    took_s: float = 0.0
    state: str = "complete"  # complete, out of time, failed
    error: str = ""
    rows: list[Row] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        write_json(folder / f"{self.part}.json", asdict(self))


def compute_error(predicted: float | None, measured: float | None, error_is: str) -> float | None:
    if predicted is None or measured is None:
        return None
    if error_is == DIFFERENCE:
        return predicted - measured
    return predicted / measured - 1 if measured else None


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(_finite(values), indent=1, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """JSON has no NaN; a figure that is not finite is no figure."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_folder(folder: Path) -> tuple[dict[str, Any], list[PartResult]]:
    """Read what a command wrote: about.json, and the parts in the order in which they ran."""
    about: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
    parts = []
    for name in about["parts"]:
        values = json.loads((folder / f"{name}.json").read_bytes())
        rows = [Row(**row) for row in values.pop("rows")]
        parts.append(PartResult(**values, rows=rows))
    return about, parts


def sum_up(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Errors by quantity: number, median and largest absolute error, and how many verdicts were right."""
    found: dict[str, dict[str, float]] = {}
    by_quantity: dict[str, list[Row]] = {}
    for row in rows:
        by_quantity.setdefault(row.quantity, []).append(row)
    for quantity, group in by_quantity.items():
        errors = [abs(row.error) for row in group if row.error is not None]
        found[quantity] = {"rows": len(group), "compared": len(errors)}
        if errors:
            found[quantity] |= {"median_error": statistics.median(errors), "worst_error": max(errors)}
        verdicts = [row.more["is_right"] for row in group if "is_right" in row.more]
        if verdicts:
            found[quantity] |= {"verdicts": len(verdicts), "right": sum(verdicts)}
    return found
