"""Multi-node attempts: all nodes start together, and all end when one does.

PREPARE: each agent's supervisor locks its devices, the one of rank 0 also a port (attempt node: prepared).
COMMIT: once all nodes are prepared, the agent of rank 0 moves the attempt to 'starting' with the rank map. Each agent
then gives the map to its supervisor, which starts the ranks. A gang that is not complete in time is broken up, which
costs no retry. The reason is written into the attempt's row once, and every agent acts on it within a tick.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from jobs.lifecycle.device_failures import record_failure
from jobs.lifecycle.ending import end_attempt
from jobs.lifecycle.transitions import move_attempt, move_attempt_node, move_job
from jobs.models import Attempt, AttemptNode, Event, Node
from jobs.states.jobs import ATTEMPT_LIVE, ATTEMPT_NODE_LIVE, AttemptNodeState, AttemptState, Cause, JobState

STRAGGLER_LIMIT_S = 30.0  # how long the other nodes may run after one node has ended
PREPARE_FAILURE_LIMIT = 5  # in a row, after which the job fails: waiting does not remove the cause


def commit(attempt: Attempt, rank_map: dict[str, Any], fields: dict[str, Any]) -> bool:
    """Start all nodes, with `rank_map` as the attempt's placement.

    Returns False if a node is not prepared, or if the gang has been broken up.
    """
    actor = f"agent:{attempt.node.name}"
    with transaction.atomic():
        attempt_nodes = AttemptNode.objects.filter(attempt=attempt).exclude(state=AttemptNodeState.PREPARED)
        # The row is locked before the nodes are counted, so that no break-up comes in between.
        held = Attempt.objects.select_for_update().filter(id=attempt.id, broken_because="").exists()
        if not held or attempt_nodes.exists():
            return False
        fields |= {"placement": rank_map, "started_at": timezone.now()}
        if not move_attempt(attempt.id, AttemptState.STARTING, actor=actor, **fields):
            return False
        if not move_job(attempt.job_id, JobState.STARTING, actor=actor, attempt=attempt.number):
            transaction.set_rollback(True)
            return False
    return True


def break_up(attempt: Attempt, reason: str, actor: str, *, only_from: tuple[str, ...] = ATTEMPT_LIVE) -> bool:
    """Make every node abort. Returns False if the attempt has ended or is being broken up already."""
    with transaction.atomic():
        rows = Attempt.objects.filter(id=attempt.id, state__in=only_from, broken_because="")
        if not rows.update(broken_because=reason[:300]):
            return False
        Event.objects.create(
            job_id=attempt.job_id, attempt_number=attempt.number, actor=actor, kind="note.warning",
            text=f"The other nodes of the job are stopped: {reason}",
        )  # fmt: skip
    return True


def end_attempt_node(
    attempt_node: AttemptNode,
    to: str,
    reason: str,
    cause: str,
    stderr_tail: str = "",
    is_secondary_failure: bool = False,
) -> None:
    """End one node of an attempt. If it failed, or ended before the others could start, the gang is broken up."""
    actor = f"agent:{attempt_node.node.name}"
    with transaction.atomic():
        fields: dict[str, Any] = {
            "cause": cause,
            "stderr_tail": stderr_tail,
            "is_secondary_failure": is_secondary_failure,
        }
        if not move_attempt_node(attempt_node.id, to, actor=actor, reason=reason, **fields):
            return
        if to in (AttemptNodeState.FAILED, AttemptNodeState.LOST):
            if to == AttemptNodeState.FAILED:
                record_failure(attempt_node.attempt, reason, actor)
            message = "lost the connection to the others" if is_secondary_failure else reason
            break_up(attempt_node.attempt, f"node {attempt_node.node.name}: {message}", actor)
        elif not attempt_node.attempt.job.wanted_state:
            before_start = (AttemptState.ASSIGNED,)
            break_up(
                attempt_node.attempt,
                f"node {attempt_node.node.name}: {reason}",
                actor,
                only_from=before_start,
            )
    end_if_complete(attempt_node.attempt_id)


def end_if_complete(attempt_id: int) -> bool:
    """End the attempt if all its nodes have ended. Returns whether it did."""
    attempt = Attempt.objects.select_related("node", "job__run").get(id=attempt_id)
    attempt_nodes = list(attempt.attempt_nodes.select_related("node").order_by("ended_at", "id"))
    if attempt.state not in ATTEMPT_LIVE or any(
        attempt_node.state in ATTEMPT_NODE_LIVE for attempt_node in attempt_nodes
    ):
        return False
    end_attempt(attempt, *_combined_result(attempt, attempt_nodes))
    return True


def reconcile() -> int:
    """Handle nodes that do not answer, send no heartbeats or lag behind. Returns how many attempts have ended.

    Called by the scheduler, for what no agent can detect.
    """
    gangs = Attempt.objects.filter(state__in=ATTEMPT_LIVE, num_nodes__gt=1).select_related("node", "job__run")
    return sum(_reconcile_gang(attempt) for attempt in gangs)


def _reconcile_gang(attempt: Attempt) -> bool:
    now, limit_s = timezone.now(), settings.PREPARE_LIMIT_S
    attempt_nodes = list(attempt.attempt_nodes.select_related("node", "attempt__job"))
    late = [
        m.node.name
        for m in attempt_nodes
        if m.state in (AttemptNodeState.ASSIGNED, AttemptNodeState.PREPARING)
    ]
    if late and now - attempt.assigned_at > timedelta(seconds=limit_s):
        reason = f"node {', '.join(late)} was not ready within {limit_s} s"
        break_up(attempt, reason, "scheduler", only_from=(AttemptState.ASSIGNED,))
    ended = [m.ended_at for m in attempt_nodes if m.ended_at and m.state not in ATTEMPT_NODE_LIVE]
    if ended and now - min(ended) > timedelta(seconds=STRAGGLER_LIMIT_S):
        break_up(attempt, "its other nodes have ended", "scheduler")
    attempt.refresh_from_db(fields=["broken_because", "state"])
    for attempt_node in attempt_nodes:
        if attempt_node.state in ATTEMPT_NODE_LIVE:
            _give_up_node(attempt_node, bool(attempt.broken_because))
    return end_if_complete(attempt.id)


def _give_up_node(attempt_node: AttemptNode, is_broken: bool) -> None:
    """End a node that no agent has started in a broken gang, or whose agent sends no heartbeats.

    Ranks that still run on a lost node do no harm: they make no step without the others, and the device locks fence
    them.
    """
    if is_broken and move_attempt_node(
        attempt_node.id,
        AttemptNodeState.STOPPED,
        actor="scheduler",
        reason="never started",
        only_from=("assigned",),
    ):
        return
    silent_s = settings.UNREACHABLE_AFTER_S if is_broken else settings.REASSIGN_AFTER_S
    silent = Q(heartbeat_at=None) | Q(heartbeat_at__lt=Now() - timedelta(seconds=silent_s))
    if Node.objects.filter(silent, id=attempt_node.node_id).exists():
        end_attempt_node(attempt_node, AttemptNodeState.LOST, f"no heartbeat for {silent_s} s", Cause.LOST)


def _combined_result(attempt: Attempt, attempt_nodes: list[AttemptNode]) -> tuple[str, str, str, str]:
    """Return state, reason, cause and stderr tail of an attempt from those of its nodes, in the order of their end."""
    by_state = {state: [m for m in attempt_nodes if m.state == state] for state in AttemptNodeState.values}
    failed = by_state[AttemptNodeState.FAILED]
    if attempt.state == AttemptState.ASSIGNED:
        why = f"The multi-node job did not start: {attempt.broken_because or attempt_nodes[0].reason}"
        if _count_prepare_failures(attempt) >= PREPARE_FAILURE_LIMIT:
            return AttemptState.FAILED, f"{why} ({PREPARE_FAILURE_LIMIT} times in a row)", Cause.GANG, ""
        return AttemptState.STOPPED, why, Cause.GANG, ""
    root_causes = [attempt_node for attempt_node in failed if not attempt_node.is_secondary_failure]
    first = next(
        (attempt_node for attempt_node in attempt_nodes if attempt_node.node_id == attempt.node_id),
        attempt_nodes[0],
    )
    if not root_causes and first.state == AttemptNodeState.SUCCEEDED:
        return AttemptState.SUCCEEDED, first.reason, Cause.DONE, ""
    if not root_causes and (lost := by_state[AttemptNodeState.LOST]):
        return AttemptState.LOST, f"Node {lost[0].node.name}: {lost[0].reason}", Cause.LOST, ""
    if failed:
        chosen = (root_causes or failed)[0]
        return (
            AttemptState.FAILED,
            f"{chosen.reason} (node {chosen.node.name})",
            chosen.cause,
            chosen.stderr_tail,
        )
    stopped = by_state[AttemptNodeState.STOPPED][0]
    return AttemptState.STOPPED, stopped.reason, stopped.cause, ""


def _count_prepare_failures(attempt: Attempt) -> int:
    """Count the job's newest attempts in a row, up to this one, that failed to prepare on some node.

    Devices held by an earlier attempt do not count: the processes that hold them are being stopped, or the device
    becomes suspect within a minute.
    """
    newest = Attempt.objects.filter(job_id=attempt.job_id, number__lte=attempt.number).order_by("-number")
    failed = AttemptNode.objects.filter(attempt=OuterRef("pk"), state=AttemptNodeState.FAILED)
    marked = newest.annotate(has_failed=Exists(failed.exclude(cause=Cause.DEVICE_HELD)))
    rows = marked.values_list("started_at", "has_failed")[:PREPARE_FAILURE_LIMIT]
    return len(list(takewhile(lambda row: row[0] is None and row[1], rows)))
