"""Names and colours of runs on charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.charts.colours import colour_from_position, get_chosen_colour
from dashboard.charts.short_names import shorten_names
from jobs.models import Run


def label_runs(runs: Sequence[Run], positions: Mapping[str, int] | None = None) -> dict[str, dict[str, Any]]:
    """Run -> full and short name, colour, and the dash that tells runs of one colour apart.

    A colour follows from the position in the view, by default the order. A name that several runs share is followed by
    the beginning of the id.
    """
    shared = Counter(run.name for run in runs)
    names = [run.name if shared[run.name] == 1 else f"{run.name} {run.id[:4]}" for run in runs]
    labels: dict[str, dict[str, Any]] = {}
    dashes: Counter[str] = Counter()
    for index, (run, name, short) in enumerate(zip(runs, names, shorten_names(names), strict=True)):
        position = (positions or {}).get(run.id, index)
        colour = get_chosen_colour(run) or colour_from_position(position)
        labels[run.id] = {"name": name, "short": short, "colour": colour, "dash": dashes[colour]}
        dashes[colour] += 1
    return labels
