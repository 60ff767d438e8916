"""What a supervisor reports, mirrored into the states of its attempt and job."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from engine import procfs
from engine.directory import AttemptDirectory, State
from jobs import series
from jobs.agent.launch import Launched
from jobs.agent.outcome import outcome
from jobs.ingest import ingest
from jobs.models import Attempt, Event, Job
from jobs.states import AttemptState, Cause, JobState, move_attempt, move_job

# How long a supervisor whose start we did not see (we were killed then) may take to write its first word.
LAUNCH_GRACE = timedelta(seconds=30)
TAIL_LINES = 40
# What a supervisor of an older version, which names no cause, can only have meant.
CAUSE_OF = {"succeeded": Cause.DONE, "stopped": Cause.STOPPED, "failed": Cause.WORKLOAD}


def follow(attempt: Attempt, launched: Launched | None, why_stopping: str = "") -> bool:
    """One look at a live attempt; True while it lives on. `why_stopping`: the agent itself asked for the stop."""
    directory = AttemptDirectory(attempt.directory)
    ingest(attempt)
    state = directory.read_state()
    if state is None:
        return _wait_for_first_word(attempt, directory, launched)
    if not state.is_terminal and not procfs.is_alive(state.pid, state.pid_started):
        state = directory.read_state() or state  # it may have ended properly between the two looks
        if not state.is_terminal:
            _end_dead(attempt, directory, state)
            return False
    _mirror_start(attempt, state)
    if not state.is_terminal:
        return True
    while ingest(attempt):
        pass
    cause = state.cause or CAUSE_OF[state.state]
    end(attempt, state.state, state.reason, cause, "\n".join(state.stderr_tail), why_stopping)
    return False


def end(
    attempt: Attempt, to: str, reason: str, cause: str, stderr_tail: str = "", why_stopping: str = ""
) -> None:
    """The attempt's terminal state, and what becomes of its job, in one transaction."""
    actor = f"agent:{attempt.node.name}"
    why_stopping = attempt.yield_reason or why_stopping
    if to == AttemptState.SUCCEEDED:
        reason = attempt.reason or reason  # the rank's own words: all steps done, or the time limit reached
    elif to == AttemptState.STOPPED and why_stopping and cause != Cause.TIME_LIMIT:
        reason = f"{why_stopping}."
    with transaction.atomic():
        if not move_attempt(attempt.id, to, actor=actor, reason=reason, cause=cause, stderr_tail=stderr_tail):
            return
        job = Job.objects.select_for_update().get(id=attempt.job_id)
        job_to, job_reason = outcome(job, to, reason, cause, why_stopping)
        move_job(job.id, job_to, actor=actor, reason=job_reason, attempt=attempt.number)
    series.close(
        attempt.job.run.id, attempt.number
    )  # tidies up; what a crash leaves unfolded is read all the same


def _end_dead(attempt: Attempt, directory: AttemptDirectory, state: State) -> None:
    """A supervisor that is gone without a terminal state: killed, or its machine went down."""
    while ingest(attempt):
        pass
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    if state.updated_at < booted_at:
        end(attempt, AttemptState.STOPPED, "the machine was restarted", Cause.RESTART)
        return
    end(
        attempt,
        AttemptState.FAILED,
        f"The supervisor (pid {state.pid}) died without a word.",
        Cause.SUPERVISOR,
        _tail(directory),
    )


def _mirror_start(attempt: Attempt, state: State) -> None:
    if "queued" not in attempt.phases:
        phases = attempt.phases | {"queued": _queued_s(attempt, state)}
        Attempt.objects.filter(id=attempt.id).update(phases=phases)
        attempt.phases = phases
    if attempt.state == AttemptState.STARTING and state.state == "running":
        move_attempt(attempt.id, AttemptState.RUNNING, actor=f"agent:{attempt.node.name}")
        attempt.state = AttemptState.RUNNING


def _queued_s(attempt: Attempt, state: State) -> float:
    """From when the job began to wait (submitted, retried or interrupted) to the start of the supervisor."""
    waited = Event.objects.filter(
        job_id=attempt.job_id, kind=f"job.{JobState.QUEUED}", at__lt=attempt.assigned_at
    )
    began = waited.order_by("-id").values_list("at", flat=True).first() or attempt.job.submitted_at
    return max(0.0, (datetime.fromtimestamp(state.started_at, UTC) - began).total_seconds())


def _wait_for_first_word(attempt: Attempt, directory: AttemptDirectory, launched: Launched | None) -> bool:
    if launched is not None:
        if launched.is_alive or directory.read_state() is not None:
            return True
        end(
            attempt,
            AttemptState.FAILED,
            "The supervisor ended before it reported anything.",
            Cause.LAUNCH,
            _tail(directory),
        )
        return False
    if attempt.started_at is None or timezone.now() - attempt.started_at < LAUNCH_GRACE:
        return True
    # We were killed between taking the attempt and starting it. Should a supervisor come up late, it stops at once,
    # and the lock on its devices keeps it apart from the next attempt.
    directory.write_control("stop")
    reason = "the agent was killed before the supervisor had started"
    end(attempt, AttemptState.STOPPED, reason, Cause.LAUNCH)
    return False


def _tail(directory: AttemptDirectory) -> str:
    return "\n".join(_last_lines(directory.log / "supervisor.log"))


def _last_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
