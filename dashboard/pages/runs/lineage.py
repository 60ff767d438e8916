"""Lineage of a run: runs that its weights come from, and runs that start from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard import access
from dashboard.access import User
from jobs.models import Checkpoint, Job, Run

DEPTH = 8  # generations of ancestors
CHILDREN_SHOWN = 12


@dataclass(frozen=True)
class LineageNode:
    """A run or a folder. `step`: step of its checkpoint that the next run in the lineage starts from."""

    title: str
    run: Run | None  # None: a Hugging Face folder, or a run of another team
    step: int | None

    def serialize(self) -> dict[str, Any]:
        return {"run": self.run.id if self.run else None, "name": self.title, "step": self.step}


@dataclass(frozen=True)
class Lineage:
    ancestors: tuple[LineageNode, ...]  # oldest first
    is_longer: bool  # there are more ancestors
    children: tuple[LineageNode, ...]  # newest first, with the step of this run's checkpoint
    num_children: int

    def __bool__(self) -> bool:
        return bool(self.ancestors or self.num_children)


def build_lineage(run: Run, user: User) -> Lineage:
    """Return ancestors and children of a run, with the names that the user may see."""
    visible = access.runs_open_to(user)
    started = Job.objects.filter(start_checkpoint__run=run, run__in=visible).select_related(
        "run", "start_checkpoint"
    )
    shown = list(started.order_by("-submitted_at")[: CHILDREN_SHOWN + 1])
    count = len(shown) if len(shown) <= CHILDREN_SHOWN else started.count()
    children = tuple(
        LineageNode(job.run.name, job.run, job.start_checkpoint.step if job.start_checkpoint else None)
        for job in shown[:CHILDREN_SHOWN]
    )
    starts = _list_start_checkpoints(run)
    visible_ids = set(visible.filter(id__in=[start.run_id for start in starts]).values_list("id", flat=True))
    ancestors, is_longer = _build_ancestors(run, starts, visible_ids)
    return Lineage(ancestors, is_longer, children, count)


def _list_start_checkpoints(run: Run) -> list[Checkpoint]:
    """Return the checkpoint that a run starts from, the one that that checkpoint's run starts from, and so on."""
    found: list[Checkpoint] = []
    job = run.job
    while job is not None and job.start_checkpoint is not None and len(found) <= DEPTH:
        found.append(job.start_checkpoint)
        job = job.start_checkpoint.run.job
    return found


def _build_ancestors(
    run: Run, starts: list[Checkpoint], visible_ids: set[str]
) -> tuple[tuple[LineageNode, ...], bool]:
    nodes = [
        LineageNode(start.run.name, start.run, start.step)
        if start.run_id in visible_ids
        else LineageNode("a run of another team", None, start.step)
        for start in starts[:DEPTH]
    ]
    oldest = starts[-1].run if starts else run
    folder = (
        oldest.job.spec.get("start_from", "") if oldest.job and not oldest.job.start_checkpoint_id else ""
    )
    if folder and len(starts) <= DEPTH:
        nodes.append(LineageNode(f"Hugging Face folder {folder}", None, None))
    return tuple(reversed(nodes)), len(starts) > DEPTH
