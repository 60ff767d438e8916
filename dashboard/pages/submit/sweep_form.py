"""The part of the submit page that makes a sweep of a spec: what is asked, and what a person's texts stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.pages.submit import spec_fields
from engine.request_limits import SWEEP_FIELDS
from engine.sweep import NEVER, Sweep, vary_of
from engine.telemetry.metrics import FABRIC_METRICS, METRICS

ROWS_SHOWN = 2
WHOLE = ("count", "seed", "parallel", "eta", "first_steps")
TITLES = {
    "grid": "every combination",
    "random": "drawn at random",
    "halving": "drawn, and halved at rungs",
}


@dataclass(frozen=True)
class SweepForm:
    """What the page shows: texts as they were typed."""

    is_on: bool
    rows: list[tuple[str, str]]  # field, its values
    texts: dict[str, str]

    fields = [path for path in spec_fields.FIELDS if path not in NEVER]
    strategies = TITLES
    metrics = [metric for metric in METRICS if metric.scope == "run" and metric not in FABRIC_METRICS]


def of(post: Mapping[str, str]) -> SweepForm:
    rows = [(path, text) for path, text in _rows(post) if path or text]
    blank = [("", "")] * max(1, ROWS_SHOWN - len(rows))
    defaults = {name: field.default for name, field in Sweep.model_fields.items() if name != "vary"}
    texts = {name: str(post.get(f"sweep.{name}", default)) for name, default in defaults.items()}
    return SweepForm("sweep.on" in post, (rows or [("optimiser.learning_rate", "")]) + blank, texts)


def values_of(post: Mapping[str, str]) -> dict[str, Any]:
    """As engine.sweep.parse_sweep reads it; a text that is no number is kept for it to refuse."""
    values: dict[str, Any] = {
        "vary": {path: vary_of(text) for path, text in _rows(post) if path and text.strip()}
    }
    for name in ("strategy", "metric", "goal", *WHOLE):
        text = post.get(f"sweep.{name}", "").strip()
        if text:
            values[name] = int(text) if name in WHOLE and text.isascii() and text.isdigit() else text
    return values


def _rows(post: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (post.get(f"sweep.path.{at}", ""), post.get(f"sweep.values.{at}", ""))
        for at in range(SWEEP_FIELDS)
        if f"sweep.path.{at}" in post
    ]
