"""Timeline of one recorded step: events of each rank, and the pipeline bubble."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict

from dashboard.charts import plots
from jobs.attempts import timelines
from jobs.attempts.timelines import Bubble, RecordedStep
from jobs.models import Run, StepTimeline

ROWS_SHOWN = 32
EVENTS_SHOWN = (
    6000  # of all rows together: more make the page slow, and the shortest are narrower than a pixel
)
NUMBERED_PCT = 1.5  # of the width: a narrower event has no room for its number
MIN_WIDTH_PCT = 0.1
NUM_TICKS = 5

# Kind -> CSS class (one colour per phase, as in the charts), label, whether it is numbered
EVENT_STYLES: dict[str, tuple[str, str, bool]] = {
    "load": ("data", "load of micro-batch", False),
    "forward": ("forward", "forward of micro-batch", True),
    "backward": ("backward", "backward of micro-batch", True),
    "reduce": ("communication", "reduction of gradients", False),
    "optimiser": ("optimiser", "optimiser", False),
    "receive_activation": ("communication", "activation received, micro-batch", False),
    "send_activation": ("communication", "activation sent, micro-batch", False),
    "receive_gradient": ("communication", "gradient received, micro-batch", False),
    "send_gradient": ("communication", "gradient sent, micro-batch", False),
    "collective": ("communication", "collective", False),
}
LEGEND = (
    ("forward", "forward"), ("backward", "backward"), ("communication", "communication"),
    ("wait", "waits for another stage (bubble)"), ("data", "data"), ("optimiser", "optimiser"),
)  # fmt: skip


@dataclass(frozen=True)
class DrawnEvent:
    """A rectangle; position and width in percent of the picture's width."""

    kind: str
    x: float
    width: float
    label: str
    number: int | None = None
    is_nested: bool = False  # within a phase: drawn at the bottom of the row

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(frozen=True)
class TimelineRow:
    name: str
    rank: int
    events: list[DrawnEvent]
    bubble_share: float


@dataclass(frozen=True)
class TimelinePicture:
    recorded: RecordedStep
    rows: list[TimelineRow]
    num_hidden: int  # ranks that are not drawn
    num_short: int  # shortest events, which are not drawn beyond EVENTS_SHOWN
    span_s: float
    ticks: list[tuple[float, float]]  # percent, seconds
    legend: list[tuple[str, str]]
    bubble: Bubble | None  # None: no pipeline
    is_cut: bool


def build_context(run: Run, query: QueryDict | dict[str, Any]) -> dict[str, Any]:
    """Return the context of runs/_timeline.html.

    `query["at"]` is 'attempt-step'; the default is the first recorded step of the newest attempt.
    """
    steps = timelines.list_steps(run)
    selected = _select_step(steps, str(query.get("at", "")))
    picture = draw(selected, timelines.list_ranks(run, selected)) if selected else None
    return {"recorded_steps": steps[::-1], "picture": picture}


def _select_step(steps: list[RecordedStep], text: str) -> RecordedStep | None:
    attempt, _, step = text.partition("-")
    named = [one for one in steps if (str(one.attempt), str(one.step)) == (attempt, step)]
    if named:
        return named[0]
    newest = max((one.attempt for one in steps), default=0)
    return next((one for one in steps if one.attempt == newest), None)


def draw(recorded: RecordedStep, ranks: list[StepTimeline]) -> TimelinePicture | None:
    """Return the picture of one step; None if no rank recorded it."""
    if not ranks:
        return None
    started_at = min(rank.began_at for rank in ranks)
    span_s = max(rank.began_at - started_at + rank.step_s for rank in ranks) or 1.0
    rows = [_build_row(rank, ranks, started_at, span_s) for rank in ranks]
    shown = [_limit_events(row, EVENTS_SHOWN // len(rows[:ROWS_SHOWN])) for row in rows[:ROWS_SHOWN]]
    kinds = {event.kind for row in rows for event in row.events}
    return TimelinePicture(
        recorded=recorded,
        rows=shown,
        num_hidden=len(rows[ROWS_SHOWN:]),
        num_short=sum(
            len(row.events) - len(limited.events) for row, limited in zip(rows, shown, strict=False)
        ),
        span_s=span_s,
        ticks=[(100 * at_s / span_s, at_s) for at_s in plots.round_steps(0.0, span_s, NUM_TICKS)],
        legend=[entry for entry in LEGEND if entry[0] in kinds],
        bubble=timelines.measure_bubble(ranks),
        is_cut=any(rank.is_cut for rank in ranks),
    )


def _build_row(
    rank: StepTimeline, ranks: list[StepTimeline], started_at: float, span_s: float
) -> TimelineRow:
    offset_s, events, last_us = rank.began_at - started_at, [], 0
    for kind, number, begin_us, length_us, waited_us in rank.events:
        is_nested = begin_us + length_us <= last_us
        last_us = max(last_us, begin_us + length_us)
        begin_s, waited_s, rest_s = offset_s + begin_us / 1e6, waited_us / 1e6, (length_us - waited_us) / 1e6
        css_class, title, is_numbered = EVENT_STYLES[kind]
        label = f"{title} {number}" if "micro-batch" in title else title
        if waited_s:
            text = f"waits {_format_ms(waited_s)} before {label}"
            events.append(_build_event("wait", begin_s, waited_s, text, span_s))
        if rest_s > 0:
            shown = number if is_numbered else None
            text = f"{label}: {_format_ms(rest_s)}"
            events.append(_build_event(css_class, begin_s + waited_s, rest_s, text, span_s, shown, is_nested))
    return TimelineRow(_label_rank(rank, ranks), rank.rank, events, timelines.waiting_share(rank))


def _limit_events(row: TimelineRow, limit: int) -> TimelineRow:
    """Keep the longest events of a row."""
    if len(row.events) <= limit:
        return row
    shortest = sorted(event.width for event in row.events)[-limit]
    return replace(row, events=[event for event in row.events if event.width >= shortest][:limit])


def _build_event(
    kind: str,
    begin_s: float,
    seconds: float,
    label: str,
    span_s: float,
    number: int | None = None,
    is_nested: bool = False,
) -> DrawnEvent:
    width = 100 * seconds / span_s
    shown = number if width >= NUMBERED_PCT else None
    width_pct = round(max(MIN_WIDTH_PCT, width), 3)
    return DrawnEvent(kind, round(100 * begin_s / span_s, 3), width_pct, label, shown, is_nested)


def _label_rank(rank: StepTimeline, ranks: list[StepTimeline]) -> str:
    """Return the coordinates that distinguish the rows: stage, data rank, tensor rank."""
    parts = [
        f"{word} {value(rank)}"
        for word, value in (
            ("stage", lambda one: one.stage),
            ("data", lambda one: one.data_rank),
            ("tensor", lambda one: one.tensor_rank),
        )
        if len({value(one) for one in ranks}) > 1
    ]
    return ", ".join(parts) or f"rank {rank.rank}"


def _format_ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
