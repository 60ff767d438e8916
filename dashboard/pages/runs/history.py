"""What happened to a run: its attempts, start-up, placement, checkpoints and events, as the run page tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard.access import Scope
from dashboard.pages.runs import attempts, checkpoint_files, costs, lineage
from dashboard.pages.submit import spec_fields
from engine.spec.spec import flatten
from engine.telemetry.metrics import START_PHASES
from jobs.models import Attempt, Device, Event, Run
from jobs.queue import relayout

EVENTS_SHOWN = 200
LAYOUT_SHOWN = (
    "parallel.data", "parallel.tensor", "parallel.stages", "parallel.zero_stage", "batch.micro_batch_size",
)  # fmt: skip


@dataclass(frozen=True)
class Phase:
    name: str
    seconds: float | None  # None: not reached yet, or not reported
    share: float


@dataclass(frozen=True)
class Seat:
    rank: int
    stage: int
    data_rank: int
    tensor_rank: int
    device: Device | None  # None: the device's row is gone
    device_id: str


def of(run: Run, scope: Scope) -> dict[str, Any]:
    """The template's context; a run without a job has no story."""
    if run.job is None:
        return {"cost": None, "chapters": [], "events": [], "phases": [], "seats": [], "checkpoints": []}
    told = attempts.of(run, run.job, scope)
    events = list(run.job.events.order_by("-id")[:EVENTS_SHOWN])
    newest = told[0].attempt if told else None
    return {
        "cost": costs.of(run),
        "chapters": told,
        "lost_steps": sum(chapter.lost_steps or 0 for chapter in told),
        "events": _without_echoes([event for event in events if event.kind != "checkpoint"]),
        "checkpoint_events": [event for event in events if event.kind == "checkpoint"],
        **_checkpoints(run, scope),
        "phases": phases(newest) if newest else [],
        "phases_total_s": sum(newest.phases.values()) if newest else None,
        "seats": _seats(newest) if newest else [],
        "newest": newest,
    }


def _checkpoints(run: Run, scope: Scope) -> dict[str, Any]:
    """Those that are kept, who begins with them, and the layout to go on in, where that may change."""
    shown = checkpoint_files.listing(run)
    may_change = run.job is not None and run.job.state in relayout.OPEN and scope.can_write(run)
    flat = flatten(run.job.spec) if run.job is not None and may_change else {}
    return {
        "checkpoints": shown,
        "unfit": shown[0].unfit if shown else "",
        "lineage": lineage.of(run, scope),
        "layout_fields": [(spec_fields.FIELDS[path], flat[path]) for path in LAYOUT_SHOWN if path in flat],
    }


def phases(attempt: Attempt) -> list[Phase]:
    total = sum(attempt.phases.values()) or 1.0
    return [
        Phase(name.replace("_", " "), attempt.phases.get(name), 100 * attempt.phases.get(name, 0.0) / total)
        for name in START_PHASES
    ]


def _without_echoes(events: list[Event]) -> list[Event]:
    """Newest first, as given. What a rank says at its end is also why its attempt and then its job ended: the sentence
    stands once, at the newest of them, and a note that says nothing else is left out."""
    told: set[tuple[int | None, str]] = set()
    kept = []
    for event in events:
        sentence = (event.attempt_number, event.text)
        if event.text and sentence in told:
            if event.kind.startswith("note."):
                continue
            event.text = ""
        told.add(sentence)
        kept.append(event)
    return kept


def _seats(attempt: Attempt) -> list[Seat]:
    """Ranks in order with their devices. Before the agent has answered, the leases say who will sit where."""
    leases = {lease.rank: lease.device for lease in attempt.leases.select_related("device")}
    said = attempt.placement.get("seats")
    if not said:
        return [Seat(rank, 0, rank, 0, device, device.id) for rank, device in sorted(leases.items())]
    return [
        Seat(
            seat["rank"], seat["stage"], seat["data_rank"], seat.get("tensor_rank", 0),
            leases.get(seat["rank"]), seat["device"],
        )
        for seat in sorted(said, key=lambda seat: seat["rank"])
    ]  # fmt: skip
