"""This node's part of an attempt over several nodes: taken, passed the rank map, followed to its end."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.directory import AttemptDirectory, Control, Placement, State
from engine.spec.spec import parse
from jobs.agent import launch
from jobs.agent.follow import mirror_start, observe
from jobs.agent.launch import Launched
from jobs.attempts.ingest import ingest
from jobs.lifecycle.transitions import move_member
from jobs.models import AttemptNode
from jobs.scheduler import gangs
from jobs.states.jobs import ATTEMPT_LIVE, AttemptState, Cause, MemberState

# Each order overrides those before it.
RISING: tuple[Control, ...] = ("prepare", "run", "stop", "abort")


def order(part: AttemptNode, why_stopping: str) -> Control:
    """What the rows want of this node's supervisor."""
    attempt = part.attempt
    if attempt.broken_because or attempt.state not in ATTEMPT_LIVE:
        return "abort"
    if attempt.job.wanted_state or attempt.yield_reason or why_stopping:
        return "stop"
    return "prepare" if attempt.state == AttemptState.ASSIGNED else "run"


def pass_on(part: AttemptNode, directory: AttemptDirectory, wanted: Control) -> None:
    """Tell the supervisor; before 'run' the rank map, as the node of rank 0 wrote it down."""
    said = directory.read_control()
    if RISING.index(wanted) <= RISING.index(said):
        return
    if said == "prepare" and part.attempt.placement:
        whole = msgspec.convert(part.attempt.placement, Placement)
        mine = directory.read_placement()
        directory.write_placement(
            msgspec.structs.replace(
                mine,
                master_addr=whole.master_addr,
                master_port=whole.master_port,
                resume_from=whole.resume_from,
            )
        )
    directory.write_control(wanted)


def follow(part: AttemptNode, launched: Launched | None, why_stopping: str) -> bool:
    """One look; True while the supervisor lives on."""
    attempt = part.attempt
    ingest(attempt, part)
    state, ending = observe(AttemptDirectory(part.directory), launched, part.began_at)
    if ending is None:
        if state is not None:
            _mirror(part, state)
        return True
    while ingest(attempt, part):
        pass
    reason = f"{why_stopping}." if why_stopping and ending.to == MemberState.STOPPED else ending.reason
    gangs.end_member(part, ending.to, reason, ending.cause, ending.stderr_tail, ending.is_witness)
    return False


def withdraw(part: AttemptNode, reason: str) -> None:
    """A part that has no supervisor, and shall not get one."""
    gangs.end_member(part, MemberState.STOPPED, reason, Cause.STOPPED)


def _mirror(part: AttemptNode, state: State) -> None:
    actor, is_first = f"agent:{part.node.name}", part.node_id == part.attempt.node_id
    is_armed = part.state == MemberState.PREPARING and state.state in ("armed", "running")
    if is_armed and move_member(part.id, MemberState.ARMED, actor=actor, port=state.master_port):
        part.state, part.port = MemberState.ARMED, state.master_port
    if part.state == MemberState.ARMED and part.attempt.state == AttemptState.ASSIGNED and is_first:
        _commit(part)
    if part.state == MemberState.ARMED and state.state == "running":
        move_member(part.id, MemberState.RUNNING, actor=actor)
    if is_first and part.attempt.state != AttemptState.ASSIGNED:
        mirror_start(part.attempt, state)


def _commit(part: AttemptNode) -> None:
    attempt = part.attempt
    if attempt.members.exclude(state=MemberState.ARMED).exists():
        return
    resume_from = launch.newest_checkpoint(attempt)
    directory = AttemptDirectory(part.directory)
    placement = launch.place(attempt, parse(attempt.job.spec), directory.path.parents[1], resume_from)
    whole = msgspec.structs.replace(
        placement, address=part.address, master_addr=part.address, master_port=part.port
    )
    fields: dict[str, Any] = {"directory": part.directory, "resumed_from": str(resume_from or "")}
    if gangs.commit(attempt, msgspec.to_builtins(whole), fields):
        attempt.refresh_from_db(fields=["state", "placement", "directory", "started_at", "resumed_from"])
        pass_on(part, directory, "run")
