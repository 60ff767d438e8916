"""Ledgers of runs: where the wall clock went."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from ninja.errors import HttpError

from dashboard.access import get_scope
from dashboard.api.shapes import Refusal
from jobs import ledger
from jobs.ledger import AttemptLedger
from jobs.models import Run

router = Router(tags=["runs"])


class AttemptLedgerOut(Schema):
    """`seconds` by part add up to `held_s`; of an attempt that is not over, until its newest record."""

    number: int
    is_live: bool
    held_s: float
    seconds: dict[str, float]
    steps: int
    lost_steps: int
    unexplained_share: float
    note: str


class LedgerOut(Schema):
    """`seconds`: of all attempts, by part, adding up to `held_s`. `waited_s`: without devices.
    `goodput_share`: of `held_s`, in steps whose result is kept; null where the ranks recorded no clock."""

    run: str
    held_s: float
    waited_s: dict[str, float]
    seconds: dict[str, float]
    goodput_share: float | None
    step_tokens_per_s: float | None
    clock_tokens_per_s: float | None
    steps: int
    lost_steps: int
    attempts: list[AttemptLedgerOut]


@router.get("/runs/{run_id}/ledger", response={200: LedgerOut, 404: Refusal})
def read_ledger(request: HttpRequest, run_id: str) -> Any:
    """Where each second went in which the run held its devices; 404 for a run without attempts."""
    run = get_scope(request).get(Run, run_id)
    found = ledger.build_ledger(run)
    if found is None:
        raise HttpError(404, "This run has held no device of Fourwalls, or trains no model.")
    return {
        "run": run.id,
        "held_s": found.held_s,
        "waited_s": found.waited_s,
        "seconds": found.seconds,
        "goodput_share": found.goodput_share,
        "step_tokens_per_s": found.step_tokens_per_s,
        "clock_tokens_per_s": found.clock_tokens_per_s,
        "steps": found.num_steps,
        "lost_steps": found.num_lost_steps,
        "attempts": [_serialize(attempt) for attempt in found.attempts],
    }


def _serialize(attempt: AttemptLedger) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "is_live": attempt.is_live,
        "held_s": attempt.held_s,
        "seconds": attempt.seconds,
        "steps": attempt.num_steps,
        "lost_steps": attempt.num_lost_steps,
        "unexplained_share": attempt.unexplained_share,
        "note": attempt.note,
    }
