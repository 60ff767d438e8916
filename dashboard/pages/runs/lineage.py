"""Where a run's weights come from, and which runs have begun with its own: a small family tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard.access import Scope
from jobs.models import Job, Run

DEPTH = 8  # generations that are followed upwards
CHILDREN = 12  # shown of those that began with this run's weights


@dataclass(frozen=True)
class Kin:
    """One run of the tree, or a folder. `step`: of the checkpoint that the one below it began with."""

    title: str
    run: Run | None  # None: a Hugging Face folder, or a run of another team
    step: int | None

    def plain(self) -> dict[str, Any]:
        return {"run": self.run.id if self.run else None, "name": self.title, "step": self.step}


@dataclass(frozen=True)
class Lineage:
    ancestors: tuple[Kin, ...]  # the oldest first
    is_longer: bool  # there are older ones
    children: tuple[Kin, ...]  # the newest first, with the step of this run's checkpoint
    num_children: int

    def __bool__(self) -> bool:
        return bool(self.ancestors or self.num_children)


def of(run: Run, scope: Scope) -> Lineage:
    seen = scope.opened(Run)
    begun = Job.objects.filter(start_checkpoint__run=run, run__in=seen).select_related(
        "run", "start_checkpoint"
    )
    shown = list(begun.order_by("-submitted_at")[: CHILDREN + 1])
    count = len(shown) if len(shown) <= CHILDREN else begun.count()
    children = tuple(Kin(job.run.name, job.run, job.start_checkpoint.step) for job in shown[:CHILDREN])
    ancestors, is_longer = _above(run, set(seen.filter(id__in=_ids_above(run)).values_list("id", flat=True)))
    return Lineage(ancestors, is_longer, children, count)


def _ids_above(run: Run) -> list[str]:
    return [checkpoint.run_id for checkpoint in _starts(run)]


def _starts(run: Run) -> list[Any]:
    """The checkpoint that a run began with, the one that its run began with, and so on."""
    found, job = [], run.job
    while job is not None and job.start_checkpoint_id and len(found) <= DEPTH:
        checkpoint = job.start_checkpoint
        found.append(checkpoint)
        job = checkpoint.run.job
    return found


def _above(run: Run, seen: set[str]) -> tuple[tuple[Kin, ...], bool]:
    starts = _starts(run)
    kin = [
        Kin(start.run.name, start.run, start.step)
        if start.run_id in seen
        else Kin("a run of another team", None, start.step)
        for start in starts[:DEPTH]
    ]
    oldest = starts[-1].run if starts else run
    folder = (
        oldest.job.spec.get("start_from", "") if oldest.job and not oldest.job.start_checkpoint_id else ""
    )
    if folder and len(starts) <= DEPTH:
        kin.append(Kin(f"Hugging Face folder {folder}", None, None))
    return tuple(reversed(kin)), len(starts) > DEPTH
