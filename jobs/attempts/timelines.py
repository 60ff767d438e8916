"""Timelines of single steps, stored as the ranks send them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from engine.telemetry.wire import TIMELINE_EVENTS, SpoolLine, Timeline
from jobs.models import Attempt, Run, StepTimeline

# Kinds of events, in the order of the legend.
KINDS = (
    "load", "forward", "backward", "reduce", "optimiser", "receive_activation", "send_activation",
    "receive_gradient", "send_gradient", "collective",
)  # fmt: skip
LARGEST_US = 10**12
UNEVEN_FROM = 1.3  # times the ideal bubble


@dataclass(frozen=True, order=True)
class RecordedStep:
    """One recorded step of a run."""

    attempt: int
    step: int


@dataclass(frozen=True)
class Bubble:
    """Pipeline bubble of one recorded step: measured, and in theory for stages that take the same time."""

    share: float  # mean over the ranks
    ideal_share: float  # (p - 1) / (m + p - 1) for p stages and m micro-batches
    stages: int
    micro_batches: int

    @property
    def is_uneven(self) -> bool:
        """Whether it is well above theory."""
        return self.share > UNEVEN_FROM * self.ideal_share


def waiting_share(rank: StepTimeline) -> float:
    """Share of a step in which a rank waited for another stage."""
    waited_us = sum(event[4] for event in rank.events)
    return waited_us / 1e6 / rank.step_s if rank.step_s else 0.0


def measure_bubble(ranks: Sequence[StepTimeline]) -> Bubble | None:
    """Measure the bubble of a step from the timelines of all its ranks; None without a pipeline."""
    stages = 1 + max((rank.stage for rank in ranks), default=0)
    micro_batches = max((_num_micro_batches(rank) for rank in ranks), default=0)
    if stages == 1 or not micro_batches:
        return None
    share = statistics.mean(map(waiting_share, ranks))
    return Bubble(share, (stages - 1) / (micro_batches + stages - 1), stages, micro_batches)


def _num_micro_batches(rank: StepTimeline) -> int:
    return sum(event[0] == "forward" for event in rank.events)


def validate(timeline: Timeline | None) -> None:
    """Raise ValueError for a timeline that no column can store or no page can draw."""
    if timeline is None or len(timeline.events) > TIMELINE_EVENTS:
        raise ValueError(f"a timeline without events, or with more than {TIMELINE_EVENTS}")
    for event in timeline.events:
        times = (event.begin_us, event.length_us, event.waited_us, event.number)
        if event.kind not in KINDS or not all(0 <= value <= LARGEST_US for value in times):
            raise ValueError(f"an invalid event of a timeline: {event.kind[:20]!r}")


def build_row(line: SpoolLine) -> StepTimeline:
    """Return the row of a timeline line, without its run and attempt."""
    timeline = line.timeline
    assert timeline is not None
    return StepTimeline(
        step=line.step or 0,
        rank=int(line.source.removeprefix("rank")),
        stage=timeline.stage,
        data_rank=timeline.data_rank,
        tensor_rank=timeline.tensor_rank,
        began_at=line.at,
        step_s=timeline.step_s,
        events=[[e.kind, e.number, e.begin_us, e.length_us, e.waited_us] for e in timeline.events],
        is_cut=timeline.is_cut,
    )


def store(attempt: Attempt, rows: list[StepTimeline]) -> None:
    run_id = Run.objects.filter(job_id=attempt.job_id).values_list("id", flat=True).get()
    for row in rows:
        row.run_id, row.attempt_number = run_id, attempt.number
    StepTimeline.objects.bulk_create(rows, ignore_conflicts=True)


def list_steps(run: Run) -> list[RecordedStep]:
    """Return all recorded steps of a run, in order."""
    found = StepTimeline.objects.filter(run=run).order_by().values_list("attempt_number", "step").distinct()
    return sorted(RecordedStep(*one) for one in found)


def find_newest(run: Run, attempt: int | None = None, step: int | None = None) -> RecordedStep | None:
    """Return the last recorded step of a run, or of one attempt, or the one with this number."""
    found = [one for one in list_steps(run) if attempt in (None, one.attempt) and step in (None, one.step)]
    return found[-1] if found else None


def list_ranks(run: Run, place: RecordedStep) -> list[StepTimeline]:
    """Return the timelines of all ranks in one step, ordered by data rank, tensor rank and stage."""
    return list(StepTimeline.objects.filter(run=run, attempt_number=place.attempt, step=place.step))
