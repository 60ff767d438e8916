"""Verdict panel of the run page: sentence, bars, evidence, remedies and check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from dashboard.access import Scope
from dashboard.html.badges import Badge
from engine.health.assess import TrainingHealth
from engine.verdict import results
from engine.verdict.results import ProposedRemedy, StateFinding, Verdict
from engine.verdict.rules import BY_ID, STATES
from jobs import health, verdicts
from jobs.models import Run, VerdictCheck

# Severity -> badge; '' is the good case.
SEVERITIES = {
    "": Badge("good", "check-circle-fill"),
    "notable": Badge("warn", "exclamation-triangle"),
    "strong": Badge("bad", "exclamation-circle-fill"),
}
HEALTH_BADGES = {
    "": Badge("good", "check-circle-fill"),
    "note": Badge("calm", "info-circle"),
    "warn": Badge("warn", "exclamation-triangle"),
    "bad": Badge("bad", "exclamation-circle-fill"),
}
UNKNOWN_HEALTH = Badge("calm", "hourglass-split")


@dataclass(frozen=True)
class RemedyRow:
    """A remedy with the address of the submit form that applies it; '' if no field of a spec describes it."""

    remedy: ProposedRemedy
    address: str


@dataclass(frozen=True)
class CheckShown:
    check: VerdictCheck
    title: str
    is_live: bool
    holds: bool | None  # None until both runs have ended
    off_points: float | None


def build_context(run: Run, scope: Scope) -> dict[str, Any]:
    """The context of runs/_verdict.html."""
    stored = verdicts.get_current(run)
    verdict, check = results.from_json(stored.body), verdicts.get_newest_check(run)
    trained = health.get_current(run)
    return {
        "verdict": verdict,
        "verdict_row": stored,
        "verdict_title": _get_title(verdict),
        "verdict_badge": _get_badge(verdict, trained),
        "health": trained,
        "health_badge": HEALTH_BADGES[trained.severity] if trained.name != "unknown" else UNKNOWN_HEALTH,
        "notices": _get_notices(verdict),
        "remedies": [RemedyRow(remedy, _get_form_address(run, remedy)) for remedy in verdict.remedies],
        "check": _build_check(check) if check else None,
        "may_check": scope.can_write(run) and run.job is not None,
        "live_topics": _get_live_topics(run, check),
    }


def _get_badge(verdict: Verdict, trained: TrainingHealth) -> Badge:
    """Hardware that is used well is no good news beside a loss that is not."""
    if not verdict.severity and trained.severity in ("warn", "bad"):
        return Badge("calm", "check-circle-fill")
    return SEVERITIES[verdict.severity]


def _get_title(verdict: Verdict) -> str:
    return " and ".join(BY_ID[rule].title for rule in verdict.rules if rule in BY_ID) or "No verdict"


def _get_notices(verdict: Verdict) -> list[StateFinding]:
    """States shown as notices. Beside a verdict, some are only among the provisional reasons."""
    if not verdict.rules:
        return list(verdict.states)
    hidden = {rule.id for rule in STATES if not rule.shows_notice}
    return [state for state in verdict.states if state.rule not in hidden]


def _get_form_address(run: Run, remedy: ProposedRemedy) -> str:
    if not remedy.changes:
        return ""
    changes = [("set", f"{path}={value}") for path, value in remedy.changes.items()]
    return f"{reverse('submit')}?{urlencode([('from', run.id), *changes])}"


def _build_check(check: VerdictCheck) -> CheckShown:
    off = check.difference_share
    return CheckShown(
        check=check,
        title=BY_ID[check.rule].title if check.rule in BY_ID else check.rule,
        is_live=check.is_live,
        holds=check.holds,
        off_points=None if off is None else 100 * off,
    )


def _get_live_topics(run: Run, check: VerdictCheck | None) -> str:
    """Topics that refresh the panel: the run, and the short runs of a check under way."""
    jobs = [run.job_id or run.id]
    if check is not None and check.is_live:
        jobs += [one.job_id for one in (check.baseline, check.twin) if one is not None and one.job_id]
    return " ".join([f"run:{run.id}", *(f"job:{job}" for job in jobs)])
