"""Sweep section of the submit page: form and posted values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.pages.submit import spec_fields
from engine.request_limits import SWEEP_FIELDS
from engine.sweep import FIXED_FIELDS, SweepDefinition, parse_vary
from engine.telemetry.metrics import FABRIC_METRICS, METRICS

ROWS_SHOWN = 2
WHOLE_NUMBERS = ("count", "seed", "parallel", "eta", "first_steps")
TITLES = {
    "grid": "grid: every combination",
    "random": "random search",
    "halving": "successive halving",
}


@dataclass(frozen=True)
class SweepForm:
    """Contents of the form, with the texts as typed."""

    is_on: bool
    rows: list[tuple[str, str]]  # field, its values
    texts: dict[str, str]

    fields = [path for path in spec_fields.FIELDS if path not in FIXED_FIELDS]
    strategies = TITLES
    metrics = [metric for metric in METRICS if metric.scope == "run" and metric not in FABRIC_METRICS]


def build_form(post: Mapping[str, str]) -> SweepForm:
    """Build the form from the posted values."""
    rows = [(path, text) for path, text in _posted_rows(post) if path or text]
    blank = [("", "")] * max(1, ROWS_SHOWN - len(rows))
    defaults = {name: field.default for name, field in SweepDefinition.model_fields.items() if name != "vary"}
    texts = {name: str(post.get(f"sweep.{name}", default)) for name, default in defaults.items()}
    return SweepForm("sweep.on" in post, (rows or [("optimiser.learning_rate", "")]) + blank, texts)


def values_from_post(post: Mapping[str, str]) -> dict[str, Any]:
    """Return the values for engine.sweep.parse_sweep. A text that is not a number stays, and is refused there."""
    values: dict[str, Any] = {
        "vary": {path: parse_vary(text) for path, text in _posted_rows(post) if path and text.strip()}
    }
    for name in ("strategy", "metric", "goal", *WHOLE_NUMBERS):
        text = post.get(f"sweep.{name}", "").strip()
        if text:
            values[name] = int(text) if name in WHOLE_NUMBERS and text.isascii() and text.isdigit() else text
    return values


def _posted_rows(post: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (post.get(f"sweep.path.{index}", ""), post.get(f"sweep.values.{index}", ""))
        for index in range(SWEEP_FIELDS)
        if f"sweep.path.{index}" in post
    ]
