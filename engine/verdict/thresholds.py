"""Thresholds that apply to every verdict.

The 10 % and 20 % bands and the 20 steps are those of TraceML 0.5. The lead of 5 points is our own proposal;
tests/perf/test_injected_bottlenecks.py checks what a CPU can show.
"""

from __future__ import annotations

NOTABLE = 0.10  # share of the step from which a loss is named
STRONG = 0.20
LEAD = 0.05  # smallest distance to the next loss; below it the verdict is mixed
LEAST_CLOCK_STEPS = 5  # in the training loop, before a part of the clock is named
SURE_STEPS = 20
SURE_COVERAGE = 0.80
UNACCOUNTED = 0.10  # share of the step outside all phases from which no loss is strong


def get_severity(share: float) -> str:
    """'strong', 'notable' or ''."""
    return "strong" if share > STRONG else "notable" if share >= NOTABLE else ""
