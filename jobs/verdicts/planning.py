"""What the planner knows beside a run's own phases: what fits the pool's devices, and what remedies should save."""

from __future__ import annotations

import msgspec

from engine import planner
from engine.spec.spec import SpecError, parse
from engine.verdict import spec_edits
from engine.verdict.facts import Facts
from engine.verdict.results import Remedy, Verdict
from engine.verdict.whatif import gain_of
from jobs.models import Run
from jobs.planning import calibration, plans

# What gives speed back that was given up for memory.
RELEASES = (spec_edits.no_recompute, spec_edits.larger_micro_batch)


def unlimited_gain(run: Run, facts: Facts) -> float | None:
    """Share of the time a token that memory costs: what the run would save by the changes that only memory refuses, by
    its own phases. None where memory refuses none, or nobody knows what fits."""
    profile = plans.get_profile(run.job.pool) if run.job and facts.num_steps else None
    if profile is None:
        return None
    spec, gains = parse(run.spec), []
    for release in RELEASES:
        changes = release(spec)
        if not changes or not spec_edits.works(run.spec, changes):
            continue
        other = spec_edits.changed(run.spec, changes)
        if planner.plan(other, profile).fits() == "will not fit":
            gains.append(gain_of(facts, other).share or 0.0)
    return max(gains, default=None)


def with_plans(run: Run, verdict: Verdict) -> Verdict:
    """The verdict with the planner's word on every remedy that a spec can say."""
    if run.job is None or not any(remedy.changes for remedy in verdict.remedies):
        return verdict
    profile = plans.get_profile(run.job.pool)
    if profile is None:
        why = "nobody has measured the pool's devices, and no table knows them"
        told = [_unplanned(remedy, why) for remedy in verdict.remedies]
        return msgspec.structs.replace(verdict, remedies=tuple(told))
    learnt = calibration.get_calibration(profile.name)
    spec = parse(run.spec)

    def plan(remedy: Remedy) -> Remedy:
        if not remedy.changes:
            return remedy
        try:
            other = spec_edits.changed(run.spec, remedy.changes)
            change = planner.predict_change(spec, other, profile, learnt)
        except (SpecError, ValueError) as error:
            return _unplanned(remedy, str(error))
        if change is None:
            return _unplanned(remedy, planner.plan(other, profile, learnt).why_not)
        return msgspec.structs.replace(
            remedy, planned_share=1 - 1 / change.throughput, fits=change.after.fits()
        )

    return msgspec.structs.replace(verdict, remedies=tuple(map(plan, verdict.remedies)))


def _unplanned(remedy: Remedy, why: str) -> Remedy:
    return msgspec.structs.replace(remedy, planned_said=why) if remedy.changes else remedy
