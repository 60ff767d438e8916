"""One recorded step as a picture: a row a rank, what it did from left to right, and the bubble beside its formula."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict

from dashboard.charts import plots
from jobs.attempts import timelines
from jobs.attempts.timelines import Bubble, RecordedStep
from jobs.models import Run, StepTimeline

ROWS_SHOWN = 32
MARKS_SHOWN = 6000  # of all rows together: a page of more is slow, and its short ones are under a pixel
NUMBERED_PCT = 1.5  # of the width: a narrower event has no room for its number
THIN_PCT = 0.1  # drawn at least this wide
TICKS = 5

# kind -> the class that colours it (one colour a phase, as in the charts), what people call it, whether it is numbered
LOOKS: dict[str, tuple[str, str, bool]] = {
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
class Mark:
    """A rectangle; places and lengths in percent of the picture's width."""

    kind: str
    x: float
    width: float
    says: str
    number: int | None = None
    is_low: bool = False  # within a phase: at the foot of the row

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(frozen=True)
class Row:
    name: str
    rank: int
    marks: list[Mark]
    bubble_share: float


@dataclass(frozen=True)
class Picture:
    place: RecordedStep
    rows: list[Row]
    num_hidden: int  # ranks that are not drawn
    num_short: int  # events that are not drawn, since they are the shortest of too many
    span_s: float
    ticks: list[tuple[float, float]]  # percent, seconds
    legend: list[tuple[str, str]]
    bubble: Bubble | None  # None: no pipeline
    is_cut: bool


def of(run: Run, wanted: QueryDict | dict[str, Any]) -> dict[str, Any]:
    """For the template. `wanted["at"]`: 'attempt-step'; without, the newest attempt's first recorded step."""
    places = timelines.list_steps(run)
    here = _wanted(places, str(wanted.get("at", "")))
    return {"places": places[::-1], "picture": draw(here, timelines.list_ranks(run, here)) if here else None}


def _wanted(places: list[RecordedStep], said: str) -> RecordedStep | None:
    attempt, _, step = said.partition("-")
    named = [place for place in places if (str(place.attempt), str(place.step)) == (attempt, step)]
    if named:
        return named[0]
    newest = max((place.attempt for place in places), default=0)
    return next((place for place in places if place.attempt == newest), None)


def draw(place: RecordedStep, ranks: list[StepTimeline]) -> Picture | None:
    if not ranks:
        return None
    began_at = min(rank.began_at for rank in ranks)
    span_s = max(rank.began_at - began_at + rank.step_s for rank in ranks) or 1.0
    rows = [_row(rank, ranks, began_at, span_s) for rank in ranks]
    shown = [_with_longest(row, MARKS_SHOWN // len(rows[:ROWS_SHOWN])) for row in rows[:ROWS_SHOWN]]
    kinds = {mark.kind for row in rows for mark in row.marks}
    return Picture(
        place=place,
        rows=shown,
        num_hidden=len(rows[ROWS_SHOWN:]),
        num_short=sum(len(row.marks) - len(kept.marks) for row, kept in zip(rows, shown, strict=False)),
        span_s=span_s,
        ticks=[(100 * at_s / span_s, at_s) for at_s in plots.round_steps(0.0, span_s, TICKS)],
        legend=[entry for entry in LEGEND if entry[0] in kinds],
        bubble=timelines.measure_bubble(ranks),
        is_cut=any(rank.is_cut for rank in ranks),
    )


def _row(rank: StepTimeline, ranks: list[StepTimeline], began_at: float, span_s: float) -> Row:
    offset_s, marks, last_us = rank.began_at - began_at, [], 0
    for kind, number, begin_us, length_us, waited_us in rank.events:
        is_low = begin_us + length_us <= last_us
        last_us = max(last_us, begin_us + length_us)
        begin_s, waited_s, rest_s = offset_s + begin_us / 1e6, waited_us / 1e6, (length_us - waited_us) / 1e6
        look, called, is_numbered = LOOKS[kind]
        says = f"{called} {number}" if "micro-batch" in called else called
        if waited_s:
            marks.append(_mark("wait", begin_s, waited_s, f"waits {_ms(waited_s)} before {says}", span_s))
        if rest_s > 0:
            shown = number if is_numbered else None
            marks.append(
                _mark(look, begin_s + waited_s, rest_s, f"{says}: {_ms(rest_s)}", span_s, shown, is_low)
            )
    return Row(_name(rank, ranks), rank.rank, marks, timelines.waiting_share(rank))


def _with_longest(row: Row, limit: int) -> Row:
    if len(row.marks) <= limit:
        return row
    shortest = sorted(mark.width for mark in row.marks)[-limit]
    return replace(row, marks=[mark for mark in row.marks if mark.width >= shortest][:limit])


def _mark(
    kind: str,
    begin_s: float,
    seconds: float,
    says: str,
    span_s: float,
    number: int | None = None,
    is_low: bool = False,
) -> Mark:
    width = 100 * seconds / span_s
    shown = number if width >= NUMBERED_PCT else None
    return Mark(kind, round(100 * begin_s / span_s, 3), round(max(THIN_PCT, width), 3), says, shown, is_low)


def _name(rank: StepTimeline, ranks: list[StepTimeline]) -> str:
    """By what tells the rows apart: stage, data rank, tensor rank."""
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


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
