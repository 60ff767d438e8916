"""What the charts of a page call runs, and the colours they draw them in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dashboard.charts.colours import colour_of
from jobs.models import Run


def of_runs(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Run -> name and colour. Names that several share get the id behind them."""
    shared = Counter(run.name for run in runs)
    return {
        run.id: {
            "name": run.name if shared[run.name] == 1 else f"{run.name} {run.id[:4]}",
            "colour": colour_of(run),
        }
        for run in runs
    }
