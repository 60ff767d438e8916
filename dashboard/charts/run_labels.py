"""Names and colours of runs on charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dashboard.charts.colours import get_colour
from jobs.models import Run


def label_runs(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Run -> name and colour. A name that several runs share is followed by the beginning of the id."""
    shared = Counter(run.name for run in runs)
    return {
        run.id: {
            "name": run.name if shared[run.name] == 1 else f"{run.name} {run.id[:4]}",
            "colour": get_colour(run),
        }
        for run in runs
    }
