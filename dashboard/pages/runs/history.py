"""History section of the run page: attempts, start-up, placement, events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.access import Scope
from dashboard.html.shown_rows import select_shown
from dashboard.pages.runs import attempts
from dashboard.pages.submit import spec_fields
from engine.spec.spec import flatten
from engine.telemetry.metrics import START_PHASES
from jobs.accounting.run_cost import get_run_cost
from jobs.attempts import locations, transfers
from jobs.attempts.checkpoint_files import list_checkpoints
from jobs.attempts.history import AttemptRecord, get_attempt_history
from jobs.models import Attempt, Device, Event, Run
from jobs.queue import relayout, restart
from jobs.runs.lineage import get_lineage

EVENTS_SHOWN = 200
LAYOUT_SHOWN = (
    "parallel.data", "parallel.tensor", "parallel.stages", "parallel.zero_stage", "batch.micro_batch_size",
)  # fmt: skip


@dataclass(frozen=True)
class StartPhase:
    name: str
    seconds: float | None  # None: not reached yet, or not reported
    share: float


@dataclass(frozen=True)
class RankPlacement:
    rank: int
    stage: int
    data_rank: int
    tensor_rank: int
    device: Device | None  # None: the device was deleted
    device_id: str


def build_attempts(run: Run, scope: Scope) -> list[AttemptRecord]:
    """Return the attempts of the run's job, newest first; none for a run without a job."""
    return get_attempt_history(run, run.job, scope.seen(Run)) if run.job else []


def build_context(run: Run, scope: Scope, records: Sequence[AttemptRecord] | None = None) -> dict[str, Any]:
    """Return the context of runs/_history.html; empty for a run without a job."""
    if run.job is None:
        return {"cost": None, "attempts": [], "events": [], "phases": [], "placement": []}
    if records is None:
        records = build_attempts(run, scope)
    events = select_shown(run.job.events.exclude(kind="checkpoint").order_by("-id"), EVENTS_SHOWN)
    newest = records[0].attempt if records else None
    return {
        "cost": get_run_cost(run),
        "attempts": [attempts.AttemptCard(record) for record in records],
        "lost_steps": sum(record.lost_steps or 0 for record in records),
        "shown_events": events,
        "events": _without_repetitions(list(events)),
        "phases": build_phases(newest) if newest else [],
        "phases_total_s": sum(newest.phases.values()) if newest else None,
        "placement": build_placement(newest) if newest else [],
        "newest": newest,
    }


def build_files(run: Run, scope: Scope) -> dict[str, Any]:
    """Return the existing checkpoints, the lineage, and the layout fields if the layout may be changed."""
    if run.job is None:
        return {"checkpoints": [], "lineage": get_lineage(run, scope.opened(Run))}
    shown = list_checkpoints(run)
    may_change = run.job.state in relayout.CHANGEABLE_STATES and scope.can_write(run)
    flat = flatten(run.job.spec) if may_change else {}
    return {
        "checkpoints": shown,
        "checkpoint_events": run.job.events.filter(kind="checkpoint").order_by("-id")[:EVENTS_SHOWN],
        "unfit": shown[0].unfit if shown else "",
        **_build_location(run, scope),
        "lineage": get_lineage(run, scope.opened(Run)),
        "layout_fields": [(spec_fields.FIELDS[path], flat[path]) for path in LAYOUT_SHOWN if path in flat],
    }


def _build_location(run: Run, scope: Scope) -> dict[str, Any]:
    """Return where the newest checkpoint lies, a copy on its way, and the steps from which a person may start."""
    if run.job is None:
        return {}
    location = locations.locate_job(run.job.id)
    may_restart = run.job.state in restart.STATES and scope.can_write(run)
    return {
        "location": location if location and not location.is_start else None,
        "transfer": transfers.progress_of(run.job.id),
        "restart_steps": restart.list_steps(run.job) if may_restart and location else [],
    }


def build_phases(attempt: Attempt) -> list[StartPhase]:
    total = sum(attempt.phases.values()) or 1.0
    return [
        StartPhase(
            name.replace("_", " "), attempt.phases.get(name), 100 * attempt.phases.get(name, 0.0) / total
        )
        for name in START_PHASES
    ]


def _without_repetitions(events: list[Event]) -> list[Event]:
    """Remove repeated texts from `events`, which are sorted newest first.

    The last message of a rank is also the reason why its attempt and its job ended. The text stays at the newest of
    these events; notes without another text are left out.
    """
    seen: set[tuple[int | None, str]] = set()
    shown = []
    for event in events:
        key = (event.attempt_number, event.text)
        if event.text and key in seen:
            if event.kind.startswith("note."):
                continue
            event.text = ""
        seen.add(key)
        shown.append(event)
    return shown


def build_placement(attempt: Attempt) -> list[RankPlacement]:
    """Return the ranks in order with their devices. Before the agent reports the placement, the leases give it."""
    leases = {lease.rank: lease.device for lease in attempt.leases.select_related("device")}
    reported = attempt.placement.get("seats")
    if not reported:
        return [RankPlacement(rank, 0, rank, 0, device, device.id) for rank, device in sorted(leases.items())]
    return [
        RankPlacement(
            seat["rank"], seat["stage"], seat["data_rank"], seat.get("tensor_rank", 0),
            leases.get(seat["rank"]), seat["device"],
        )
        for seat in sorted(reported, key=lambda seat: seat["rank"])
    ]  # fmt: skip
