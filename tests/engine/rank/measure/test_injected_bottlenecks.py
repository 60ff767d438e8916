"""A few injected bottlenecks of real ranks; all of them: tests/perf/test_injected_bottlenecks.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.verdict.judge import judge
from tests.engine.rank.attempts import Forker
from tests.engine.rank.bottlenecks import CASES
from tests.engine.rank.injected import Bench, is_named

pytestmark = pytest.mark.ranks

# One of each kind whose cause is far larger than what a busy host adds
WANTED = (
    "data, 30 ms a sequence", "very slow link, ZeRO 0", "bubble, p 2, m 1", "one slow rank of two",
    "host, one rank alone", "memory 99 % full",
)  # fmt: skip


@pytest.mark.parametrize("name", WANTED)
def test_what_is_injected_is_named(name: str, forker: Forker, rank_data_dir: Path, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    verdict = judge(Bench(forker, rank_data_dir, tmp_path, steps=13).run(case))
    assert is_named(case, verdict), (verdict.name, [(f.rule, round(f.share, 2)) for f in verdict.findings])
    assert verdict.provisional  # a run of so few steps is never sure
