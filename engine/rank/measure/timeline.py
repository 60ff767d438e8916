"""Timeline of one step of one rank: its events with begin, length and wait."""

from __future__ import annotations

from engine.directory import RankSeat
from engine.rank.measure.breakdown import Breakdown, Span, TimedStep
from engine.telemetry.wire import TIMELINE_EVENTS, Timeline, TimelineEvent

EXCHANGES = ("send_activation", "receive_activation", "send_gradient", "receive_gradient")
EARLY_STEPS = 10  # by then kernels are compiled, the allocator is warm and transfer times are measured


def choose_early_step(first_step: int, last_step: int) -> int:
    """Return the number of the step whose timeline every attempt records."""
    return min(first_step + EARLY_STEPS, last_step)


def build_timeline(breakdown: Breakdown, step: TimedStep, seat: RankSeat) -> Timeline:
    """Build the timeline of a step, with events in the order of their begin (microseconds since the step's begin).

    A wait within a phase is an event of its own; the wait of a send or receive is part of its event.
    """
    spans = [span for span in step.spans if span.start is not None and not _is_inside_exchange(span)]
    events = sorted((_build_event(breakdown, step, span) for span in spans), key=lambda event: event.begin_us)
    if len(events) > TIMELINE_EVENTS:  # too many collectives: the phases are more useful
        events = [event for event in events if event.kind != "collective"]
    recorded = tuple(events[:TIMELINE_EVENTS])
    return Timeline(
        seat.stage, seat.data_rank, step.step_s, recorded, len(recorded) < len(spans), seat.tensor_rank
    )


def _is_inside_exchange(span: Span) -> bool:
    return span.payload is not None and span.enclosing is not None and span.enclosing.kind in EXCHANGES


def _build_event(breakdown: Breakdown, step: TimedStep, span: Span) -> TimelineEvent:
    kind = "collective" if span.payload else span.kind
    parts = [span]
    if kind in EXCHANGES:
        parts = [one for one in step.spans if one.enclosing is span]
    waited_s = sum(breakdown.waited_s(step, part) for part in parts)
    return TimelineEvent(
        kind,
        span.number,
        _us(breakdown.offset_s(step, span.start)),
        _us(breakdown.seconds(span)),
        _us(waited_s),
    )


def _us(seconds: float) -> int:
    return max(0, round(seconds * 1e6))
