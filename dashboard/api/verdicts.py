"""Verdicts on hardware and health of training."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from dashboard.access import get_scope
from dashboard.api.shapes import Refusal
from jobs import health, verdicts
from jobs.models import Run, RunVerdict, VerdictCheck

router = Router(tags=["runs"])


class CheckOut(Schema):
    """Shares are the saved part of the time a token; `observed_share` is null until both runs have ended."""

    state: str
    rule: str
    changes: dict[str, Any]
    predicted_share: float
    observed_share: float | None
    baseline: str | None
    twin: str | None
    actor: str
    at: datetime
    reason: str


class VerdictOut(Schema):
    """`name` is empty without a verdict, with the reason in `body.nothing`. `body` holds bars, findings with their
    evidence, states and remedies."""

    run: str
    name: str
    limit: str
    share: float | None
    severity: str
    provisional: bool
    sentence: str
    rules_version: int
    step: int
    at: datetime
    body: dict[str, Any]
    check: CheckOut | None


@router.get("/runs/{run_id}/verdict", response={200: VerdictOut, 404: Refusal})
def one(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """The verdict as on the run's page; at most five seconds old for a running run."""
    run = get_scope(request).get(Run, run_id)
    return _serialize(verdicts.get_current(run), verdicts.get_newest_check(run))


@router.post(
    "/runs/{run_id}/verdict/check", response={201: CheckOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def check(request: HttpRequest, run_id: str) -> Status:
    """Queue a twin with one change, and a baseline if needed; refused if no change can test the verdict."""
    scope = get_scope(request)
    return Status(201, _check(verdicts.check_verdict(scope.get_writable(Run, run_id), scope.user)))


def _serialize(kept: RunVerdict, newest: VerdictCheck | None) -> dict[str, Any]:
    return {
        "run": kept.run_id,
        "name": kept.name,
        "limit": kept.limit,
        "share": kept.share,
        "severity": kept.severity,
        "provisional": kept.is_provisional,
        "sentence": kept.body["sentence"],
        "rules_version": kept.rules_version,
        "step": kept.step,
        "at": kept.at,
        "body": kept.body,
        "check": _check(newest) if newest else None,
    }


def _check(found: VerdictCheck) -> dict[str, Any]:
    return {
        "state": found.state,
        "rule": found.rule,
        "changes": found.changes,
        "predicted_share": found.predicted_share,
        "observed_share": found.observed_share,
        "baseline": found.baseline_id,
        "twin": found.twin_id,
        "actor": found.actor.get_username(),
        "at": found.at,
        "reason": found.reason,
    }


class HealthFindingOut(Schema):
    name: str
    severity: str
    sentence: str
    step: int | None  # where it began


class HealthOut(Schema):
    """`name`: improving, unknown, or the gravest finding: nan, diverged, overfitting, validation rises, not learning,
    plateau, gaps, spikes. `severity`: bad, warn, note or ''."""

    run: str
    name: str
    severity: str
    sentence: str
    findings: list[HealthFindingOut]
    version: int


@router.get("/runs/{run_id}/health", response={200: HealthOut, 404: Refusal})
def read_health(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """What the loss curves of the run show."""
    run = get_scope(request).get(Run, run_id)
    found = health.get_current(run)
    return {
        "run": run.id,
        "name": found.name,
        "severity": found.severity,
        "sentence": found.sentence,
        "findings": [finding._asdict() for finding in found.findings],
        "version": found.version,
    }
