"""What the run page shows of a verdict: the sentence, four bars, evidence, remedies, and the check by a twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from dashboard.access import Scope
from dashboard.html.badges import Badge
from engine.verdict import results
from engine.verdict.results import Remedy, Verdict
from engine.verdict.rules import RULES
from jobs import verdicts
from jobs.models import CheckState, Run, VerdictCheck

HOLDS_WITHIN = 0.05  # points of the step between what a verdict claims and what a twin shows
# Severity -> its look; '' is the good case.
SEVERITIES = {
    "": Badge("good", "check-circle-fill"),
    "notable": Badge("warn", "exclamation-triangle"),
    "strong": Badge("bad", "exclamation-circle-fill"),
}


@dataclass(frozen=True)
class Advice:
    """A remedy with the address of the form in which it is made; '' for what no spec can say."""

    remedy: Remedy
    address: str


@dataclass(frozen=True)
class CheckShown:
    check: VerdictCheck
    title: str
    is_live: bool
    holds: bool | None  # None: not known yet
    off_points: float | None


def of(run: Run, scope: Scope) -> dict[str, Any]:
    """The context of runs/_verdict.html."""
    kept = verdicts.current(run)
    verdict, check = results.from_json(kept.body), verdicts.newest_check(run)
    return {
        "verdict": verdict,
        "verdict_row": kept,
        "verdict_title": _title(verdict),
        "verdict_badge": SEVERITIES[verdict.severity],
        "advice": [Advice(remedy, _form(run, remedy)) for remedy in verdict.remedies],
        "check": _check(check) if check else None,
        "may_check": scope.can_write(run) and run.job is not None,
        "heard_for": _heard_for(run, check),
    }


def _title(verdict: Verdict) -> str:
    return " and ".join(RULES[rule].title for rule in verdict.rules if rule in RULES) or "No verdict"


def _form(run: Run, remedy: Remedy) -> str:
    if not remedy.changes:
        return ""
    changes = [("set", f"{path}={value}") for path, value in remedy.changes.items()]
    return f"{reverse('submit')}?{urlencode([('from', run.id), *changes])}"


def _check(check: VerdictCheck) -> CheckShown:
    off = None if check.observed_share is None else abs(check.observed_share - check.predicted_share)
    return CheckShown(
        check=check,
        title=RULES[check.rule].title if check.rule in RULES else check.rule,
        is_live=check.state in (CheckState.BASELINE, CheckState.TWIN),
        holds=None if off is None else off <= HOLDS_WITHIN,
        off_points=None if off is None else 100 * off,
    )


def _heard_for(run: Run, check: VerdictCheck | None) -> str:
    """What makes the panel refresh: the run itself, and the short runs of a check."""
    jobs = [run.job_id or run.id]
    if check is not None and check.state in (CheckState.BASELINE, CheckState.TWIN):
        jobs += [one.job_id for one in (check.baseline, check.twin) if one is not None and one.job_id]
    return " ".join([f"run:{run.id}", *(f"job:{job}" for job in jobs)])
