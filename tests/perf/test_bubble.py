"""Measured pipeline bubble against (p-1)/(m+p-1), for stages p and micro-batches m that sleep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engine.rank.bubbles import measure_bubble, sleeping_forker

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]


def test_the_bubble_is_measured_within_a_tenth(tmp_path: Path) -> None:
    rows = []
    with sleeping_forker() as forker:
        for stages in (2, 4):
            for micro_batches in (1, 2, 3, 4, 6, 8, 12, 16):
                rows.append(
                    (
                        stages,
                        micro_batches,
                        measure_bubble(forker, tmp_path, stages, micro_batches),
                        os.getloadavg()[0],
                    )
                )
    print("\n p   m  measured   ideal   error  communication  load")
    for stages, micro_batches, bubble, load in rows:
        print(
            f"{stages:2} {micro_batches:3} {bubble.measured:9.1%} {bubble.ideal:7.1%} {bubble.error:7.1%} "
            f"{bubble.communication:14.1%} {load:5.1f}"
        )
    worst = max(rows, key=lambda row: row[2].error)
    print(f"worst: p = {worst[0]}, m = {worst[1]}, {worst[2].error:.1%}")
    assert worst[2].error < 0.1
