"""Progress of a sweep: its completed share and its decided rungs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.models import Sweep
from jobs.states.jobs import FINAL
from jobs.sweeps import advance, sweep_actions
from jobs.sweeps.ranking import RankedRun


@dataclass(frozen=True)
class RungMember:
    row: RankedRun
    value: float | None  # of the metric at the rung; None: none
    is_promoted: bool


@dataclass(frozen=True)
class DecidedRung:
    steps: int
    members: list[RungMember]  # promoted ones first
    num_promoted: int


def completed_share(sweep: Sweep, rows: Sequence[RankedRun]) -> float:
    """Share of the rungs that are done; within the current one the share of its runs that ended or reached it."""
    if sweep.state in sweep_actions.ENDED_STATES:
        return 1.0
    numbers = set(advance.rung_members(sweep))
    steps = sweep.rungs[min(len(sweep.decisions), len(sweep.rungs) - 1)]
    members = [row for row in rows if row.number in numbers]
    at_rung = sum(row.state in FINAL or row.step >= steps for row in members)
    return (len(sweep.decisions) + (at_rung / len(members) if members else 0.0)) / len(sweep.rungs)


def decided_rungs(sweep: Sweep, rows: Sequence[RankedRun]) -> list[DecidedRung]:
    """Return each decided rung with its members, their values and who was promoted."""
    by_number = {row.number: row for row in rows}
    return [_decided_rung(decision, by_number) for decision in sweep.decisions]


def _decided_rung(decision: Mapping[str, Any], by_number: dict[int, RankedRun]) -> DecidedRung:
    values = {int(number): value for number, value in decision["values"].items()}
    promoted = set(decision["promoted"])
    order = sorted(decision["members"], key=lambda n: (n not in promoted, values.get(n) is None, n))
    members = [RungMember(by_number[n], values.get(n), n in promoted) for n in order]
    return DecidedRung(decision["steps"], members, len(promoted))
