"""Wall clock panel of the run page: bar, parts and throughput."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard.html.format import as_width
from engine.telemetry.clock import CLOCK_PARTS, ClockPart
from jobs import ledger
from jobs.ledger import AttemptLedger, JobLedger
from jobs.models import Run

WAITING = {
    "queued": ("Waiting for devices", "In the queue, before and between the attempts"),
    "paused": ("Paused", "Held by a person, without devices"),
    "over": ("Ended", "Ended, before it was queued or begun again"),
}


@dataclass(frozen=True)
class LedgerPart:
    """One part of the clock with its seconds in each attempt."""

    part: ClockPart
    seconds: float
    share: float  # of the time on the devices
    width: str
    by_attempt: tuple[float, ...]


@dataclass(frozen=True)
class WaitingPart:
    title: str
    meaning: str
    seconds: float


def build_context(run: Run) -> dict[str, Any]:
    """Return the context of runs/_ledger.html."""
    found = ledger.build_ledger(run)
    if found is None or found.held_s <= 0:
        return {"ledger": None}
    newest = found.attempts[-ATTEMPTS_SHOWN:]
    return {
        "ledger": found,
        "ledger_parts": _list_parts(found, newest),
        "ledger_attempts": newest if len(found.attempts) > 1 else (),
        "ledger_hidden": len(found.attempts) - len(newest),
        "ledger_waits": [
            WaitingPart(*WAITING[state], seconds) for state, seconds in found.waited_s.items() if seconds > 0
        ],
        "ledger_notes": list(dict.fromkeys(attempt.note for attempt in found.attempts if attempt.note)),
    }


ATTEMPTS_SHOWN = 6


def _list_parts(found: JobLedger, shown: tuple[AttemptLedger, ...]) -> list[LedgerPart]:
    seconds = found.seconds
    return [
        LedgerPart(
            part,
            seconds[part.name],
            share := seconds[part.name] / found.held_s,
            as_width(share),
            tuple(attempt.seconds.get(part.name, 0.0) for attempt in shown),
        )
        for part in CLOCK_PARTS
        if part.name in seconds
    ]
