"""Verdicts of generated runs held against an independent simulator: names, severities, savings."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from engine.verdict.judge import judge
from engine.verdict.results import ProposedRemedy, Verdict
from tests.engine.verdict.generated_cases import Case, changed_layout, generate
from tests.engine.verdict.generated_kinds import KINDS
from tests.engine.verdict.simulator import Cause, saving

COUNT = 240
SEEDS = (11, 12, 13)
SURE_SIGN = 0.03  # a saving or a loss below it has no sign
REMOVED = {
    "faster_data": {"data_s": (0.0,)}, "other_devices": {"slow": (1.0,)}, "raise_quota": {"stolen": (0.0,)},
    "more_memory": {"stolen": (0.0,)}, "raise_power": {"clock": 1.0},
    "pin_cores": {"stolen": (0.0,), "stolen_by": ""}, "cooling": {"clock": 1.0}, "leave_sync_boost": {"clock": 1.0},
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    case: Case
    verdict: Verdict

    @property
    def is_right(self) -> bool:
        """Names the cause and no other one. Where its metric is missing, no other one is called
        strong: a rank may be slow for an unknown reason."""
        rules, kind = set(self.verdict.rules), self.case.kind
        if self.case.is_key_missing:
            return self.verdict.severity != "strong" or rules <= kind.allowed
        return bool(rules & kind.names) and rules <= kind.allowed

    @property
    def is_clean(self) -> bool:
        return self.case.kind.names == {"compute"}

    def compare(self) -> tuple[float, float] | None:
        """Predicted and simulated saving of the first remedy with a prediction."""
        if self.case.is_key_missing or not self.is_right or not self.verdict.remedies:
            return None
        remedy = self.verdict.remedies[0]
        if remedy.gain_share is None:
            return None
        return remedy.gain_share, _simulate(self.case, remedy)


def _simulate(case: Case, remedy: ProposedRemedy) -> float:
    drawn = case.drawn
    if case.kind.clock_part:
        return case.clock.save(dict(remedy.changes), drawn.layout.sequences)
    if remedy.changes:
        other = changed_layout(drawn.layout, remedy.changes)
        return saving(drawn.layout, drawn.machine, drawn.cause, other)
    if remedy.id == "faster_disk":  # twice as fast: a share s of the time becomes s / (2 - s)
        halved: Cause = replace(drawn.cause, stolen=tuple(one / (2 - one) for one in drawn.cause.stolen))
        return saving(drawn.layout, drawn.machine, drawn.cause, halved)
    without: Cause = replace(drawn.cause, **REMOVED[remedy.id])
    return saving(drawn.layout, drawn.machine, drawn.cause, without)


def judge_all(seed: int) -> Iterator[Outcome]:
    for case in generate(KINDS, COUNT, seed):
        yield Outcome(case, judge(case.facts))


@pytest.mark.parametrize("seed", SEEDS)
def test_generated_runs_are_named_with_the_saving_of_their_first_remedy(seed: int):
    outcomes = list(judge_all(seed))
    wrong = [outcome for outcome in outcomes if not outcome.is_right]
    compared = [(outcome, pair) for outcome in outcomes if (pair := outcome.compare())]
    errors = np.array([abs(claim - true) for _, (claim, true) in compared])
    signs = [claim * true > 0 for _, (claim, true) in compared if min(abs(claim), abs(true)) >= SURE_SIGN]
    right = 1 - len(wrong) / len(outcomes)
    _report(seed, outcomes, wrong, compared, errors, signs)
    assert len(KINDS) >= 20 and right >= 0.95, [(one.case.kind.name, one.verdict.name) for one in wrong]
    assert not [one for one in outcomes if one.is_clean and one.verdict.severity == "strong"]
    assert float(np.median(errors)) <= 0.05
    assert np.mean(signs) >= 0.98


def _report(seed, outcomes, wrong, compared, errors, signs) -> None:
    lines = [
        f"\nseed {seed}: named right {len(outcomes) - len(wrong)} of {len(outcomes)} in {len(KINDS)} kinds, "
        f"{sum(one.case.is_key_missing for one in outcomes)} without their metric; first remedy, {len(errors)} cases: "
        f"median {100 * np.median(errors):.1f} points, p90 {100 * np.quantile(errors, 0.9):.1f}, worst "
        f"{100 * errors.max():.1f}; sign right {sum(signs)} of {len(signs)}"
    ]
    for (kind, name), count in Counter((one.case.kind.name, one.verdict.name) for one in wrong).items():
        lines.append(f"  wrong: {kind} -> {name} x {count}")
    for outcome, (claim, true) in sorted(compared, key=lambda item: -abs(item[1][0] - item[1][1]))[:8]:
        first = outcome.verdict.remedies[0]
        lines.append(
            f"  {outcome.case.kind.name}: {first.id} {first.changes} claimed {claim:.2f}, simulated {true:.2f}"
        )
    sys.stdout.write("\n".join(lines) + "\n")
