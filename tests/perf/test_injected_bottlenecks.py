"""Verdicts on real ranks with injected bottlenecks: the named cause, and the claimed saving.

Targets: at least 95 % of at least 30 cases are named correctly, no clean run gets a 'strong' verdict, and the
median error between claimed and real saving is at most 5 points of the step.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import pytest

from engine.verdict.judge import judge
from engine.verdict.results import Verdict
from tests.engine.rank import pressures
from tests.engine.rank.attempts import Forker
from tests.engine.rank.bottlenecks import CASES
from tests.engine.rank.conftest import forker, rank_data_dir  # noqa: F401  (fixtures)
from tests.engine.rank.injected import Bench, Case, claimed, is_named, saved
from tests.perf.test_planner_time import profile_of_this_machine

pytestmark = [pytest.mark.perf, pytest.mark.ranks, pytest.mark.timeout(3600)]


def test_injected_bottlenecks_are_named_with_their_cost(
    forker: Forker,  # noqa: F811
    rank_data_dir: Path,  # noqa: F811
    tmp_path: Path,
):
    bench = Bench(forker, rank_data_dir, tmp_path)
    wrong, errors, strong_on_clean = [], [], []
    print(f"\n{len(CASES)} cases, load {os.getloadavg()[0]:.1f}")
    for case in CASES:
        facts = bench.run(case)
        verdict = judge(facts)
        if not is_named(case, verdict):
            wrong.append(case.name)
        if case.expected == {"compute"} and verdict.severity == "strong":
            strong_on_clean.append(case.name)
        compared = ""
        if case.is_compared:
            claim, saving = claimed(case, facts, verdict), saved(facts, bench.run_without(case))
            errors.append(abs(claim - saving))
            compared = f"claimed {100 * claim:5.1f} %, saved {100 * saving:5.1f} %"
        mark, share = "     " if is_named(case, verdict) else "WRONG", 100 * (verdict.share or 0)
        print(
            f"{mark} {case.name:30} {verdict.name:22} {verdict.severity:8}"
            f" {share:5.1f} % of {1e3 * float(facts.step_s.mean()):6.1f} ms  {compared}",
            flush=True,
        )
    right = 1 - len(wrong) / len(CASES)
    middle, worst = 100 * statistics.median(errors), 100 * max(errors)
    print(
        f"named right {100 * right:.1f} % of {len(CASES)}; |claimed - saved| median {middle:.1f} points of the step, "
        f"worst {worst:.1f}, n = {len(errors)}; load {os.getloadavg()[0]:.1f}"
    )
    assert len(CASES) >= 30
    assert strong_on_clean == []
    assert right >= 0.95, wrong
    assert statistics.median(errors) <= 0.05


def test_runs_without_sleeps_are_named_and_their_changes_predicted(
    forker: Forker,  # noqa: F811
    rank_data_dir: Path,  # noqa: F811
    tmp_path: Path,
):
    """Dispatch, ZeRO stages, quota and neighbours. The machine's own load makes some of them provisional."""
    profile, cases = profile_of_this_machine(tmp_path / "locks"), pressures.CASES
    bench = Bench(forker, rank_data_dir, tmp_path, profile=profile, reads_host=True)
    print(
        f"\n{len(cases)} cases, load {os.getloadavg()[0]:.1f}, operation {1e6 * profile.operation_s:.1f} us"
    )
    right, errors, signs = 0, [], []
    for case in cases:
        facts = bench.run(case)
        verdict, compared = judge(facts), ""
        named = bool(case.expected & set(verdict.rules))
        right += named
        if case.alter is not None:
            claim, saving = claimed(case, facts, verdict), saved(facts, bench.run_without(case))
            errors.append(abs(claim - saving))
            signs.append(claim * saving > 0 or abs(saving) < 0.1)
            compared = f"claimed {100 * claim:5.1f} %, saved {100 * saving:5.1f} %"
        print(f"{'' if named else 'WRONG':5} {describe(case, verdict)} {compared}", flush=True)
    middle, worst = 100 * statistics.median(errors), 100 * max(errors)
    print(
        f"named right {right} of {len(cases)}; |claimed - saved| median {middle:.1f} points, worst {worst:.1f}, "
        f"n = {len(errors)}; sign right {sum(signs)}; load {os.getloadavg()[0]:.1f}"
    )
    assert right >= 0.9 * len(cases)
    assert all(signs)
    assert statistics.median(errors) <= 0.08


def describe(case: Case, verdict: Verdict) -> str:
    states = ", ".join(state.rule for state in verdict.states)
    return (
        f"{case.name:38} {verdict.name:24} {verdict.severity:8} {100 * (verdict.share or 0):5.1f} % of "
        f"{1e3 * (verdict.step_s or 0):6.1f} ms, explained {100 * (verdict.explained_share or 0):3.0f} %, {states:10}"
    )
