"""Deletion for good of what has been in the bin for long enough: rows, points and files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from jobs import series
from jobs.models import (
    Artefact,
    Attempt,
    AttemptNode,
    CheckpointCopy,
    Deletion,
    DeletionState,
    FolderRemoval,
    Job,
    Project,
    Run,
)

RUNS_A_STEP = 20  # in one transaction
STEPS_A_CALL = 5
PURGED_BY = "scheduler"


def purge_due() -> int:
    """Delete what is due, a bounded number of runs a call. Returns how many runs were deleted."""
    num_deleted = 0
    for _ in range(STEPS_A_CALL):
        due = Deletion.objects.filter(state=DeletionState.IN_BIN, due_at__lte=timezone.now())
        deletion = due.order_by("due_at").first()
        if deletion is None:
            break
        num_deleted += _purge_some(deletion)
    return num_deleted


def _purge_some(deletion: Deletion) -> int:
    """Delete some runs of a deletion, and after the last one its project. The row of the deletion stays."""
    with transaction.atomic():
        current = Deletion.objects.select_for_update().get(id=deletion.id)
        if current.state != DeletionState.IN_BIN:
            return 0
        rows = Run.objects.filter(deletion=current).order_by("id").values_list("id", "job_id")[:RUNS_A_STEP]
        ids, jobs = [run for run, _ in rows], [job for _, job in rows if job]
        sums = Artefact.objects.filter(run__in=ids).aggregate(n=Count("id"), size=Sum("size_bytes"))
        current.num_files += sums["n"] or 0
        current.freed_bytes += sums["size"] or 0
        if not ids:
            Project.objects.filter(deletion=current).delete()
            current.state, current.ended_at = DeletionState.DELETED, timezone.now()
            current.ended_by = PURGED_BY
        else:
            request_removals(jobs)
            _delete_rows(ids, jobs)
            transaction.on_commit(lambda: _remove_artefacts(ids))
        current.save()
    return len(ids)


def request_removals(jobs: Sequence[str]) -> None:
    """Ask the agents of all nodes that may have files of these jobs' attempts to remove them."""
    attempts = Attempt.objects.filter(job__in=jobs)
    places = set(attempts.values_list("node_id", "job_id", "number"))
    gangs = AttemptNode.objects.filter(attempt__in=attempts)
    places |= set(gangs.values_list("node_id", "attempt__job_id", "attempt__number"))
    copies = CheckpointCopy.objects.filter(checkpoint__attempt__in=attempts)
    places |= set(copies.values_list("node_id", "checkpoint__attempt__job_id", "checkpoint__attempt__number"))
    FolderRemoval.objects.bulk_create(
        [FolderRemoval(node_id=node, name=f"{job}-{number}") for node, job, number in sorted(places)],
        ignore_conflicts=True,
        batch_size=500,
    )


def _delete_rows(ids: Sequence[str], jobs: Sequence[str]) -> None:
    """The database's cascades delete the rest. What the runs used stays on the team's account."""
    series.delete_series(ids)
    Run.objects.filter(id__in=ids).delete()
    Job.objects.filter(id__in=jobs).delete()


def _remove_artefacts(ids: Iterable[str]) -> None:
    for run_id in ids:
        shutil.rmtree(Path(settings.ARTEFACT_ROOT) / run_id, ignore_errors=True)
