"""One step of one rank as a row of events: what it did when, and where it waited."""

from __future__ import annotations

from engine.directory import Seat
from engine.rank.measure.breakdown import Breakdown, Span, Step
from engine.telemetry.wire import TIMELINE_EVENTS, Timeline, TimelineEvent

EXCHANGES = ("send_activation", "receive_activation", "send_gradient", "receive_gradient")
EARLY_STEPS = 10  # after these a run is warm: kernels compiled, allocator settled, transfers learnt


def early_step(first_step: int, last_step: int) -> int:
    """The number of the step that is kept of every attempt."""
    return min(first_step + EARLY_STEPS, last_step)


def timeline_of(breakdown: Breakdown, step: Step, seat: Seat) -> Timeline:
    """Events in the order of their begin, in microseconds since the step's begin. Waits within a phase stand beside
    it; those of a send or receive are part of it."""
    spans = [span for span in step.spans if span.start is not None and not _is_part(span)]
    events = sorted((_event(breakdown, step, span) for span in spans), key=lambda event: event.begin_us)
    if len(events) > TIMELINE_EVENTS:  # many small collectives: the phases say more
        events = [event for event in events if event.kind != "collective"]
    kept = tuple(events[:TIMELINE_EVENTS])
    return Timeline(seat.stage, seat.data_rank, step.step_s, kept, len(kept) < len(spans), seat.tensor_rank)


def _is_part(span: Span) -> bool:
    return span.payload is not None and span.inside is not None and span.inside.kind in EXCHANGES


def _event(breakdown: Breakdown, step: Step, span: Span) -> TimelineEvent:
    kind = "collective" if span.payload else span.kind
    parts = [span]
    if kind in EXCHANGES:
        parts = [one for one in step.spans if one.inside is span]
    waited_s = sum(breakdown.waited_s(step, part) for part in parts)
    return TimelineEvent(
        kind,
        span.number,
        _us(breakdown.since_begin_s(step, span.start)),
        _us(breakdown.seconds(span)),
        _us(waited_s),
    )


def _us(seconds: float) -> int:
    return max(0, round(seconds * 1e6))
