"""Mirroring of a supervisor's reports into the states of its attempt and job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from django.conf import settings
from django.utils import timezone

from engine.directory import AttemptDirectory, SupervisorState
from fourwalls.system import procfs
from jobs.agent.launch import Launched
from jobs.attempts.ingest import ingest
from jobs.lifecycle.ending import end_attempt
from jobs.lifecycle.transitions import move_attempt
from jobs.models import Attempt, Event
from jobs.states.jobs import AttemptState, Cause, JobState

# How long a supervisor may take to write its first state, if this agent did not see its start (it was restarted).
LAUNCH_GRACE = timedelta(seconds=30)
TAIL_LINES = 40
# Terminal state -> cause, for supervisors of older versions that report no cause.
DEFAULT_CAUSES = {"succeeded": Cause.DONE, "stopped": Cause.STOPPED, "failed": Cause.WORKLOAD}


@dataclass(frozen=True)
class AttemptEnding:
    """How a supervisor ended, as it reported or as concluded from its remains."""

    to: str
    reason: str
    cause: str
    stderr_tail: str = ""
    is_secondary_failure: bool = False


def follow(
    attempt: Attempt, launched: Launched | None, stop_reason: str = "", node_dir: Path | None = None
) -> bool:
    """Read the spool and the supervisor's state once. Returns False when the attempt has ended.

    `stop_reason`: why the agent stops the attempt on its own account; '' otherwise. `node_dir`: FOURWALLS_NODE_DIR
    by default.
    """
    node_dir = node_dir or Path(settings.NODE_DIR)
    ingest(attempt, node_dir=node_dir)
    state, ending = observe(AttemptDirectory(node_dir / attempt.directory), launched, attempt.started_at)
    if state is not None and (ending is None or state.is_terminal):
        mirror_start(attempt, state)
    if ending is None:
        return True
    while ingest(attempt, node_dir=node_dir):
        pass
    end_attempt(attempt, ending.to, ending.reason, ending.cause, ending.stderr_tail, stop_reason)
    return False


def stop_by_folder(node_dir: Path, ended: set[Path]) -> bool:
    """Ask all supervisors on this node to stop, without the database. Returns whether none is left."""
    is_any_left = False
    for path in set((node_dir / "attempts").glob("*")) - ended:
        directory = AttemptDirectory(path)
        try:
            state = directory.read_state()
        except (OSError, msgspec.MsgspecError):
            continue
        if state is not None and (state.is_terminal or not procfs.is_alive(state.pid, state.pid_started)):
            continue
        if directory.read_control() != "stop":
            directory.write_control("stop")
        is_any_left |= state is not None  # without a state nothing has been trained yet
    return not is_any_left


def observe(
    directory: AttemptDirectory, launched: Launched | None, began_at: datetime | None
) -> tuple[SupervisorState | None, AttemptEnding | None]:
    """Return the supervisor's last state and its ending. Both are None until it writes its first state."""
    state = directory.read_state()
    if state is None:
        return None, _ending_without_state(directory, launched, began_at)
    if not state.is_terminal and not procfs.is_alive(state.pid, state.pid_started):
        state = directory.read_state() or state  # it may have ended properly between the two checks
        if not state.is_terminal:
            return state, _ending_from_dead(directory, state)
    if not state.is_terminal:
        return state, None
    cause = state.cause or DEFAULT_CAUSES[state.state]
    return state, AttemptEnding(
        state.state, state.reason, cause, "\n".join(state.stderr_tail), state.is_secondary_failure
    )


def _ending_from_dead(directory: AttemptDirectory, state: SupervisorState) -> AttemptEnding:
    """Conclude the ending of a supervisor that is gone without a terminal state: killed, or its machine went down."""
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    if state.updated_at < booted_at:
        return AttemptEnding(AttemptState.STOPPED, "the machine was restarted", Cause.RESTART)
    reason = f"The supervisor (pid {state.pid}) died without a report."
    return AttemptEnding(AttemptState.FAILED, reason, Cause.SUPERVISOR, _supervisor_log_tail(directory))


def mirror_start(attempt: Attempt, state: SupervisorState) -> None:
    if "queued" not in attempt.phases:
        phases = attempt.phases | {"queued": _queued_s(attempt, state)}
        Attempt.objects.filter(id=attempt.id).update(phases=phases)
        attempt.phases = phases
    if attempt.state == AttemptState.STARTING and state.state == "running":
        move_attempt(attempt.id, AttemptState.RUNNING, actor=f"agent:{attempt.node.name}")
        attempt.state = AttemptState.RUNNING


def _queued_s(attempt: Attempt, state: SupervisorState) -> float:
    """Seconds from when the job entered the queue (submitted, retried or interrupted) to the supervisor's start."""
    queued_events = Event.objects.filter(
        job_id=attempt.job_id, kind=f"job.{JobState.QUEUED}", at__lt=attempt.assigned_at
    )
    began = queued_events.order_by("-id").values_list("at", flat=True).first() or attempt.job.submitted_at
    return max(0.0, (datetime.fromtimestamp(state.started_at, UTC) - began).total_seconds())


def _ending_without_state(
    directory: AttemptDirectory, launched: Launched | None, began_at: datetime | None
) -> AttemptEnding | None:
    if launched is not None:
        if launched.is_alive or directory.read_state() is not None:
            return None
        reason = "The supervisor ended before it reported anything."
        return AttemptEnding(AttemptState.FAILED, reason, Cause.LAUNCH, _supervisor_log_tail(directory))
    if began_at is None or timezone.now() - began_at < LAUNCH_GRACE:
        return None
    # The agent was killed between claiming the attempt and starting it. A supervisor that starts late stops at once,
    # and the device locks separate it from the next attempt.
    directory.write_control("stop")
    reason = "the agent was killed before the supervisor had started"
    return AttemptEnding(AttemptState.STOPPED, reason, Cause.LAUNCH)


def _supervisor_log_tail(directory: AttemptDirectory) -> str:
    return "\n".join(_last_lines(directory.log / "supervisor.log"))


def _last_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
