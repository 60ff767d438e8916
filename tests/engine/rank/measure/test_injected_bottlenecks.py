"""Verdicts on injected bottlenecks of real ranks.

A few cases; all of them are in tests/perf/test_injected_bottlenecks.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.verdict.judge import judge
from tests.engine.rank.attempts import Forker
from tests.engine.rank.bottlenecks import CASES
from tests.engine.rank.injected import Bench, is_named

pytestmark = pytest.mark.ranks

# One case of each kind, with a cause far larger than the noise of a busy host.
WANTED = (
    "data, 30 ms a sequence", "very slow link, ZeRO 0", "bubble, p 2, m 1", "one slow rank of two",
    "host, one rank alone", "memory 99 % full",
)  # fmt: skip


@pytest.mark.parametrize("name", WANTED)
def test_the_verdict_names_the_injected_bottleneck(
    name: str, forker: Forker, rank_data_dir: Path, tmp_path: Path
) -> None:
    case = next(case for case in CASES if case.name == name)
    verdict = judge(Bench(forker, rank_data_dir, tmp_path, steps=13).run(case))
    assert is_named(case, verdict), (verdict.name, [(f.rule, round(f.share, 2)) for f in verdict.findings])
    assert verdict.provisional  # as for every short run
