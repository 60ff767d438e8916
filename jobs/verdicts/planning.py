"""The planner's part of a verdict: what fits the pool, and what remedies save."""

from __future__ import annotations

import msgspec

from engine import planner
from engine.spec.spec import SpecError, parse
from engine.verdict import spec_edits
from engine.verdict.results import ProposedRemedy, Verdict
from engine.verdict.rule import ClockRule
from engine.verdict.rules import BY_ID
from jobs.models import Run
from jobs.planning import calibration, plans


def add_plans(run: Run, verdict: Verdict) -> Verdict:
    """The verdict with the planner's prediction for each remedy that changes the spec."""
    if run.job is None or not any(remedy.changes for remedy in verdict.remedies):
        return verdict
    profile = plans.get_profile(run.job.pool)
    if profile is None:
        reason = "the pool's devices have not been measured, and no table has them"
        unplanned = [_mark_unplanned(remedy, reason) for remedy in verdict.remedies]
        return msgspec.structs.replace(verdict, remedies=tuple(unplanned))
    learnt = calibration.get_calibration(profile.name)
    spec = parse(run.spec)

    def plan(remedy: ProposedRemedy) -> ProposedRemedy:
        if not remedy.changes:
            return remedy
        if isinstance(BY_ID[remedy.rule], ClockRule):
            return _mark_unplanned(remedy, "the planner predicts steps, not the time between them")
        try:
            other = spec_edits.apply_changes(run.spec, remedy.changes)
            change = planner.predict_change(spec, other, profile, learnt)
        except (SpecError, ValueError) as error:
            return _mark_unplanned(remedy, str(error))
        if change is None:
            return _mark_unplanned(remedy, planner.plan(other, profile, learnt).why_not)
        return msgspec.structs.replace(
            remedy, planned_share=1 - 1 / change.throughput, fits=change.after.fits()
        )

    return msgspec.structs.replace(verdict, remedies=tuple(map(plan, verdict.remedies)))


def _mark_unplanned(remedy: ProposedRemedy, reason: str) -> ProposedRemedy:
    return msgspec.structs.replace(remedy, planned_message=reason) if remedy.changes else remedy
