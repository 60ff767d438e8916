"""Drain of a node, with a forecast of what it costs each job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.conf import settings
from django.db.models import Q

from jobs.attempts import locations
from jobs.lifecycle.resumption import list_usable, newest_step
from jobs.models import Attempt, Checkpoint, Event, Job, Node
from jobs.nodes import admin, folders
from jobs.scheduler import snapshot
from jobs.scheduler.policy import decide
from jobs.scheduler.policy.decide import Decisions
from jobs.scheduler.policy.snapshot import NodeView, PoolSnapshot, WaitingJob
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, JobState
from jobs.states.nodes import DrainPolicy


@dataclass(frozen=True)
class Continuation:
    """How one job continues when its node is emptied by checkpoint."""

    attempt: Attempt
    node_id: str  # where it continues; '': it waits, or it ends
    node_name: str
    step: int  # from which at least: it saves a checkpoint at the step where it stops
    lost_steps: int
    worst_lost_steps: int  # if it cannot stop in time and is killed
    size_bytes: int | None  # that travel between the nodes; None: not known before its first checkpoint
    waiting_reason: str = ""
    ends_as: str = ""  # cancelled or paused: a request is pending

    @property
    def job(self) -> Job:
        return self.attempt.job

    @property
    def place(self) -> str:
        if self.ends_as:
            return f"is being {self.ends_as} already"
        if not self.node_id:
            return f"waits, then continues from step {self.step} or later: {self.waiting_reason}"
        return f"continues on {self.node_name} from the step where it stops, {self.step} or later"

    @property
    def cost(self) -> str:
        if self.ends_as:
            return ""
        travel = "an unknown number of bytes travels" if self.size_bytes is None else "nothing travels"
        if self.size_bytes:
            travel = f"about {self.size_bytes:,} bytes travel"
        return (
            f"{self.lost_steps} steps lost (at worst {self.worst_lost_steps}, if it does not stop within "
            f"{settings.STOP_GRACE_S} s); {travel}"
        )

    @property
    def sentence(self) -> str:
        return f"{self.place}; {self.cost}." if self.cost else f"{self.place}."


def plan_drain(node: Node) -> list[Continuation]:
    """Return how the jobs with a rank on the node continue if it is drained by checkpoint now, in queue order.

    The scheduler's own policy decides on the pool without the node, with these jobs waiting.
    """
    attempts = list_attempts(node)
    moving = [attempt for attempt in attempts if not attempt.job.wanted_state]
    view = _without(snapshot.take_snapshot(node.pool), node, moving) if moving else None
    decisions = decide(view) if view else Decisions()
    targets = {one.job: one.node_devices[0][0] for one in decisions.assignments}
    nodes = {one.id: one for one in Node.objects.filter(id__in=targets.values())}
    found = [
        _continuation(attempt, nodes.get(targets.get(attempt.job_id, "")), decisions) for attempt in attempts
    ]
    return sorted(found, key=lambda one: (not one.node_id, one.job.queue_key))


def list_attempts(node: Node) -> list[Attempt]:
    here = Q(leases__device__node=node, leases__is_active=True)
    rows = Attempt.objects.filter(here, state__in=ATTEMPT_LIVE).select_related(
        "job__run", "job__owner", "node"
    )
    return list(rows.distinct().order_by("id"))


def drain(node: Node, actor: str, reason: str, policy: str, until: datetime | None = None) -> Node:
    """Empty the node, as jobs.nodes.admin.drain. Its jobs prefer the nodes that `plan_drain` names."""
    plan = plan_drain(node) if policy == DrainPolicy.CHECKPOINT else []
    moved = admin.drain(node, actor, reason, policy, until)
    for one in plan:
        if one.node_id:
            Job.objects.filter(id=one.job.id).update(preferred_node=one.node_id)
        text = f"Node {node.name} is drained: the job {one.sentence}"
        Event.objects.create(
            job=one.job, attempt_number=one.attempt.number, actor=actor, kind="note.info", text=text
        )
    return moved


def list_stranded(node: Node) -> list[tuple[Job, Checkpoint]]:
    """Return jobs that have not ended and whose newest checkpoint lies on this node only."""
    jobs = Job.objects.exclude(state__in=(JobState.SUCCEEDED, JobState.CANCELLED)).filter(
        id__in=Attempt.objects.filter(node=node).values("job")
    )
    located = locations.locate(jobs)
    return [
        (job, row)
        for job in jobs.filter(id__in=located).order_by("id")
        if (row := located[job.id].checkpoint) and {one.id for one in located[job.id].holders} == {node.id}
    ]


def _without(view: PoolSnapshot, node: Node, moving: Sequence[Attempt]) -> PoolSnapshot:
    """Return the pool as it will be once the node is closed and its attempts have stopped."""
    ids = {attempt.id for attempt in moving}
    freed: dict[str, list[str]] = {}
    for attempt in moving:
        for device, home in attempt.leases.filter(is_active=True).values_list("device_id", "device__node_id"):
            freed.setdefault(home, []).append(device)
    nodes = [
        msgspec.structs.replace(
            one,
            closed_reason="draining" if one.id == node.id else one.closed_reason,
            free=(*one.free, *sorted(freed.get(one.id, []))),
        )
        for one in view.nodes
    ]
    return msgspec.structs.replace(
        view,
        nodes=nodes,
        running=[one for one in view.running if one.attempt not in ids],
        waiting=[*view.waiting, *(_waiting_job(attempt, node, nodes) for attempt in moving)],
    )


def _waiting_job(attempt: Attempt, node: Node, nodes: Sequence[NodeView]) -> WaitingJob:
    largest = max((one.devices for one in nodes if not one.closed_reason), default=0)
    job = snapshot.build_waiting_job(attempt.job)
    spans = node.pool.allows_several_nodes and job.num_devices > largest
    return msgspec.structs.replace(job, may_span_nodes=spans)


def _continuation(attempt: Attempt, target: Node | None, decisions: Decisions) -> Continuation:
    job, has_steps = attempt.job, attempt.state == AttemptState.RUNNING
    saved = newest_step(job.id) or 0
    step = max(job.step, saved) if has_steps else saved
    position = decisions.positions.get(job.id)
    return Continuation(
        attempt=attempt,
        node_id=target.id if target else "",
        node_name=target.name if target else "",
        step=step,
        lost_steps=0,
        worst_lost_steps=step - saved,
        size_bytes=_travelling_bytes(attempt, target),
        waiting_reason=position.reason.sentence if position else "",
        ends_as=job.wanted_state,
    )


def _travelling_bytes(attempt: Attempt, target: Node | None) -> int | None:
    """Return the bytes of its checkpoint, unless the target sees the folder in which it is saved."""
    root = folders.root_of(attempt.node.facts)
    if target is not None and root and folders.root_of(target.facts) == root:
        return 0
    return list_usable(attempt.job_id).values_list("size_bytes", flat=True).first()
