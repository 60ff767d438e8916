"""Lineage of a run: origin of its initial weights, and runs that start from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from jobs.models import Checkpoint, Job, Run

MAX_GENERATIONS = 8
MAX_CHILDREN = 12


@dataclass(frozen=True)
class Relative:
    """A run, or a folder, of the lineage. `step` is that of the checkpoint from which the next run started."""

    title: str
    run: Run | None  # None: a Hugging Face folder, or a run that the reader may not see
    step: int | None


@dataclass(frozen=True)
class Lineage:
    ancestors: tuple[Relative, ...]  # oldest first
    is_longer: bool  # there are older ones
    children: tuple[Relative, ...]  # newest first, with the step of this run's checkpoint
    num_children: int

    def __bool__(self) -> bool:
        return bool(self.ancestors or self.num_children)


def get_lineage(run: Run, visible: QuerySet[Run]) -> Lineage:
    """Return the lineage of a run; of runs that are not `visible` only the step is shown."""
    started = Job.objects.filter(start_checkpoint__run=run, run__in=visible).select_related(
        "run", "start_checkpoint"
    )
    shown = list(started.order_by("-submitted_at")[: MAX_CHILDREN + 1])
    count = len(shown) if len(shown) <= MAX_CHILDREN else started.count()
    children = tuple(
        Relative(job.run.name, job.run, job.start_checkpoint.step)
        for job in shown[:MAX_CHILDREN]
        if job.start_checkpoint
    )
    starts = _start_checkpoints(run)
    visible_ids = set(visible.filter(id__in=[one.run_id for one in starts]).values_list("id", flat=True))
    return Lineage(
        tuple(reversed(_ancestors(run, starts, visible_ids))), len(starts) > MAX_GENERATIONS, children, count
    )


def serialize(relative: Relative) -> dict[str, Any]:
    return {
        "run": relative.run.id if relative.run else None, "name": relative.title, "step": relative.step,
    }  # fmt: skip


def _start_checkpoints(run: Run) -> list[Checkpoint]:
    """The checkpoint that a run started from, the one that its run started from, and so on."""
    found: list[Checkpoint] = []
    job = run.job
    while job is not None and job.start_checkpoint is not None and len(found) <= MAX_GENERATIONS:
        found.append(job.start_checkpoint)
        job = job.start_checkpoint.run.job
    return found


def _ancestors(run: Run, starts: list[Checkpoint], visible_ids: set[str]) -> list[Relative]:
    """Newest first."""
    found = [
        Relative(start.run.name, start.run, start.step)
        if start.run_id in visible_ids
        else Relative("a run of another team", None, start.step)
        for start in starts[:MAX_GENERATIONS]
    ]
    oldest = (starts[-1].run if starts else run).job
    folder = oldest.spec.get("start_from", "") if oldest and not oldest.start_checkpoint_id else ""
    if folder and len(starts) <= MAX_GENERATIONS:
        found.append(Relative(f"Hugging Face folder {folder}", None, None))
    return found
