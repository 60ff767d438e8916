"""Texts of a run's attempts on its page and on charts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.attempts.history import AttemptRecord, Outcome


@dataclass(frozen=True)
class OutcomeText:
    title: str
    tone: str
    icon: str
    after: str  # how charts describe the next attempt


OUTCOMES: dict[Outcome, OutcomeText] = {
    "live": OutcomeText("Under way", "busy", "play-fill", ""),
    "succeeded": OutcomeText("Finished", "good", "check-circle-fill", "after its end"),
    "late": OutcomeText("Time limit", "good", "clock", "after its time limit"),
    "preempted": OutcomeText("Preempted", "warn", "chevron-double-down", "after a preemption"),
    "asked_back": OutcomeText("Gave its devices back", "warn", "box-arrow-right", "after giving way"),
    "paused": OutcomeText("Paused", "warn", "pause-fill", "after a pause"),
    "cancelled": OutcomeText("Cancelled", "calm", "slash-circle", "after a cancel"),
    "lost": OutcomeText("Node lost", "bad", "eye-slash", "after a lost node"),
    "failed": OutcomeText("Failed", "bad", "exclamation-circle-fill", "after a failure"),
    "interrupted": OutcomeText("Interrupted", "warn", "lightning-charge", "after an interruption"),
}


@dataclass(frozen=True)
class AttemptCard:
    """One attempt as the page shows it."""

    record: AttemptRecord

    @property
    def outcome(self) -> OutcomeText:
        return OUTCOMES[self.record.outcome]


def chart_names(cards: Iterable[AttemptCard]) -> dict[int, str]:
    """Attempt number -> label of the boundary at which it starts on charts."""
    in_order = sorted((card.record for card in cards), key=lambda record: record.attempt.number)
    return {
        record.attempt.number: f"attempt {record.attempt.number}, {OUTCOMES[before.outcome].after}".rstrip(
            ", "
        )
        for before, record in itertools.pairwise(in_order)
    }
