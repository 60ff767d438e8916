"""Return of a node that was silent.

What its disk holds is recorded before the node counts as alive again. Otherwise the scheduler could start a job
elsewhere from an older checkpoint than the newest one on this disk.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.db.models import F
from django.utils import timezone

from engine.directory import AttemptDirectory
from fourwalls.system import procfs
from jobs import series
from jobs.attempts import observations
from jobs.attempts.ingest import ingest
from jobs.lifecycle.resumption import newest_step
from jobs.models import Attempt, Event, Node
from jobs.states.jobs import AttemptState, JobState
from jobs.states.nodes import Health

ABSENT = (Health.UNREACHABLE, Health.FAILED, Health.STOPPED)
LOST_WITHIN = timedelta(days=30)


def catch_up(node_id: str, node_dir: Path) -> None:
    """Read the spools of attempts that were lost with this node, and register its checkpoints. A new node has none."""
    node = Node.objects.filter(id=node_id).first()
    if node is None:
        return
    lost = Attempt.objects.filter(
        node=node, num_nodes=1, state=AttemptState.LOST, ended_at__gt=timezone.now() - LOST_WITHIN
    ).exclude(directory="")
    waiting = {a.job_id: a for a in lost.filter(job__state=JobState.QUEUED, job__attempt_number=F("number"))}
    promised = {job: newest_step(job) for job in waiting}
    for attempt in lost.select_related("job__run", "node"):
        if _has_ended(AttemptDirectory(node_dir / attempt.directory)) and ingest(attempt, node_dir=node_dir):
            while ingest(attempt, node_dir=node_dir):
                pass
            series.close(attempt.job.run.id, attempt.number)
    observations.observe(node, node_dir)
    for job, step in promised.items():
        now = newest_step(job)
        if now != step and now is not None:  # what was said before is out of date
            text = f"Node {node.name} is back with a newer checkpoint; the job resumes from step {now}."
            Event.objects.create(
                job_id=job,
                attempt_number=waiting[job].number,
                actor=f"agent:{node.name}",
                kind="note.info",
                text=text,
            )


def is_returning(node: Node) -> bool:
    """Whether the node counts as absent until its next heartbeat."""
    return Node.objects.filter(id=node.id, health__in=ABSENT).exists()


def _has_ended(directory: AttemptDirectory) -> bool:
    state = directory.read_state()
    return state is None or state.is_terminal or not procfs.is_alive(state.pid, state.pid_started)
