"""This node's supervisor in an attempt over several nodes.

The agent prepares it, hands over the rank map and follows it to its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from engine.directory import AttemptDirectory, Control, Placement, SupervisorState
from engine.spec.spec import parse
from jobs.agent import launch
from jobs.agent.follow import mirror_start, observe
from jobs.agent.launch import Launched
from jobs.agent.resuming import CheckpointAway, CheckpointPending
from jobs.attempts.ingest import ingest
from jobs.lifecycle.transitions import move_attempt_node
from jobs.models import AttemptNode
from jobs.nodes import folders
from jobs.scheduler import gangs
from jobs.states.jobs import ATTEMPT_LIVE, AttemptNodeState, AttemptState, Cause

# Each value overrides those before it.
CONTROL_ORDER: tuple[Control, ...] = ("prepare", "run", "stop", "abort")


def get_target_control(attempt_node: AttemptNode, stop_reason: str) -> Control:
    """Return the control value that the database asks of this node's supervisor."""
    attempt = attempt_node.attempt
    if attempt.broken_because or attempt.state not in ATTEMPT_LIVE:
        return "abort"
    if attempt.job.wanted_state or attempt.yield_reason or stop_reason:
        return "stop"
    return "prepare" if attempt.state == AttemptState.ASSIGNED else "run"


def write_control(attempt_node: AttemptNode, directory: AttemptDirectory, control: Control) -> None:
    """Write `control` for the supervisor, unless a later value is there already.

    Leaving 'prepare', it first completes this node's placement with the rank map that the node of rank 0 stored.
    """
    current = directory.read_control()
    if CONTROL_ORDER.index(control) <= CONTROL_ORDER.index(current):
        return
    if current == "prepare" and attempt_node.attempt.placement:
        rank_map = msgspec.convert(attempt_node.attempt.placement, Placement)
        own_placement = directory.read_placement()
        directory.write_placement(
            msgspec.structs.replace(
                own_placement,
                master_addr=rank_map.master_addr,
                master_port=rank_map.master_port,
                resume_from=rank_map.resume_from,
                older_checkpoints=rank_map.older_checkpoints,
            )
        )
    directory.write_control(control)


def follow(attempt_node: AttemptNode, launched: Launched | None, stop_reason: str, node_dir: Path) -> bool:
    """Read the spool and the supervisor's state once. Returns False when this node's supervisor has ended."""
    attempt = attempt_node.attempt
    ingest(attempt, attempt_node, node_dir=node_dir)
    directory = AttemptDirectory(node_dir / attempt_node.directory)
    state, ending = observe(directory, launched, attempt_node.began_at)
    if ending is None:
        if state is not None:
            _mirror(attempt_node, state, node_dir)
        return True
    while ingest(attempt, attempt_node, node_dir=node_dir):
        pass
    reason = f"{stop_reason}." if stop_reason and ending.to == AttemptNodeState.STOPPED else ending.reason
    gangs.end_attempt_node(
        attempt_node, ending.to, reason, ending.cause, ending.stderr_tail, ending.is_secondary_failure
    )
    return False


def withdraw(attempt_node: AttemptNode, reason: str) -> None:
    """End an attempt node whose supervisor has not been started."""
    gangs.end_attempt_node(attempt_node, AttemptNodeState.STOPPED, reason, Cause.STOPPED)


def _mirror(attempt_node: AttemptNode, state: SupervisorState, node_dir: Path) -> None:
    actor, is_first = f"agent:{attempt_node.node.name}", attempt_node.node_id == attempt_node.attempt.node_id
    is_prepared = attempt_node.state == AttemptNodeState.PREPARING and state.state in ("armed", "running")
    if is_prepared and move_attempt_node(
        attempt_node.id, AttemptNodeState.PREPARED, actor=actor, port=state.master_port
    ):
        attempt_node.state, attempt_node.port = AttemptNodeState.PREPARED, state.master_port
    if (
        attempt_node.state == AttemptNodeState.PREPARED
        and attempt_node.attempt.state == AttemptState.ASSIGNED
        and is_first
    ):
        _commit_gang(attempt_node, node_dir)
    if attempt_node.state == AttemptNodeState.PREPARED and state.state == "running":
        move_attempt_node(attempt_node.id, AttemptNodeState.RUNNING, actor=actor)
    if is_first and attempt_node.attempt.state != AttemptState.ASSIGNED:
        mirror_start(attempt_node.attempt, state)


def _commit_gang(attempt_node: AttemptNode, node_dir: Path) -> None:
    attempt = attempt_node.attempt
    if attempt.attempt_nodes.exclude(state=AttemptNodeState.PREPARED).exists():
        return
    try:
        sources = launch.find_sources(attempt, attempt_node.node, node_dir, is_gang=True)
    except CheckpointPending:
        return
    except (CheckpointAway, launch.LaunchError) as error:
        gangs.break_up(attempt, str(error), f"agent:{attempt_node.node.name}")
        return
    placement = launch.build_placement(attempt, parse(attempt.job.spec), node_dir, sources)
    rank_map = msgspec.structs.replace(
        placement,
        address=attempt_node.address,
        master_addr=attempt_node.address,
        master_port=attempt_node.port,
    )
    resumed_from = folders.relative_path(sources.resume_from, node_dir) if sources.resume_from else ""
    fields: dict[str, Any] = {"directory": attempt_node.directory, "resumed_from": resumed_from}
    if gangs.commit(attempt, msgspec.to_builtins(rank_map), fields):
        attempt.refresh_from_db(fields=["state", "placement", "directory", "started_at", "resumed_from"])
        write_control(attempt_node, AttemptDirectory(node_dir / attempt_node.directory), "run")
