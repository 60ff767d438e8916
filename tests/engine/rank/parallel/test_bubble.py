"""Measured bubble of a real pipeline with sleeping stages.

Two small cases; the others are in tests/perf/test_bubble.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.rank.bubbles import measure_bubble, sleeping_forker

pytestmark = pytest.mark.ranks


def test_the_measured_bubble_is_that_of_the_schedule(tmp_path: Path) -> None:
    with sleeping_forker() as forker:
        for stages, micro_batches in ((2, 1), (2, 2)):
            bubble = measure_bubble(forker, tmp_path, stages, micro_batches)
            assert bubble.error < 0.1, bubble
            assert bubble.communication < 0.1, "waiting for a stage must not count as communication"
