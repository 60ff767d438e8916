"""Prints as JSON a summary of all raw points of two runs.

    python raw_points.py CLIENT_RUN JOB_RUN

For each metric: the number of points, the spans of steps, and errors (repeated steps, wrong order, wrong values).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django
import numpy as np


def summarize(run_id: str, names: list[str]) -> dict[str, Any]:
    from jobs import series

    found: dict[str, Any] = {}
    for number, name in enumerate(names):
        parts = [raw.columns for raw in series.raw(run_id, [name]) if raw.source == "run"]
        steps = (
            np.concatenate([columns.steps for columns in parts]) if parts else np.array([], dtype=np.int64)
        )
        values = np.concatenate([columns.values for columns in parts]) if parts else np.array([])
        found[name] = {
            "count": len(steps),
            "twice": int(len(steps) - len(np.unique(steps))),
            "disordered": int(sum((np.diff(columns.steps) <= 0).sum() for columns in parts)),
            "wrong": int((values != steps + number / 16).sum()),
            "spans": _spans(np.unique(steps)),
        }
    return found


def _spans(steps: np.ndarray) -> list[tuple[int, int]]:
    """Unbroken spans, from the first step to the one after the last."""
    if not len(steps):
        return []
    breaks = np.flatnonzero(np.diff(steps) != 1)
    starts, ends = np.append(0, breaks + 1), np.append(breaks, len(steps) - 1)
    return [(int(steps[a]), int(steps[b]) + 1) for a, b in zip(starts, ends, strict=True)]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    django.setup()
    from tests.chaos import logging_script, spool_rank

    client = summarize(sys.argv[1], [f"m{number}" for number in range(logging_script.METRICS)])
    json.dump({"client": client, "job": summarize(sys.argv[2], list(spool_rank.METRICS))}, sys.stdout)
