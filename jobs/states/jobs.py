"""States of jobs and attempts, the moves that are allowed, and the one function that makes them."""

from __future__ import annotations

from django.db.models import TextChoices


class JobState(TextChoices):
    QUEUED = "queued"  # waits for devices; Job.waiting_reason says for what
    SCHEDULED = "scheduled"  # devices are leased, the agent has not answered yet
    STARTING = "starting"  # the supervisor starts the ranks
    RUNNING = "running"  # steps are made
    STOPPING = "stopping"  # asked to stop at a step border
    PAUSED = "paused"  # holds nothing and waits for nobody, until somebody resumes it
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (JobState.SCHEDULED, JobState.STARTING, JobState.RUNNING, JobState.STOPPING)
FINAL = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

# From where each state may be entered.
MOVES: dict[str, tuple[str, ...]] = {
    # Given back, resumed, or retried by a person
    JobState.QUEUED: (*ACTIVE, JobState.PAUSED, JobState.FAILED, JobState.CANCELLED),
    JobState.SCHEDULED: (JobState.QUEUED,),
    JobState.STARTING: (JobState.SCHEDULED,),
    JobState.RUNNING: (JobState.STARTING,),
    JobState.STOPPING: (JobState.SCHEDULED, JobState.STARTING, JobState.RUNNING),
    JobState.SUCCEEDED: (JobState.STARTING, JobState.RUNNING, JobState.STOPPING),
    JobState.FAILED: (*ACTIVE,),
    JobState.PAUSED: (JobState.QUEUED, *ACTIVE),
    JobState.CANCELLED: (JobState.QUEUED, JobState.PAUSED, *ACTIVE),
}


class AttemptState(TextChoices):
    ASSIGNED = "assigned"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"


ATTEMPT_LIVE = (AttemptState.ASSIGNED, AttemptState.STARTING, AttemptState.RUNNING)
ATTEMPT_MOVES: dict[str, tuple[str, ...]] = {
    AttemptState.STARTING: (AttemptState.ASSIGNED,),
    AttemptState.RUNNING: (AttemptState.STARTING,),
    AttemptState.SUCCEEDED: (AttemptState.STARTING, AttemptState.RUNNING),
    AttemptState.STOPPED: ATTEMPT_LIVE,
    AttemptState.FAILED: ATTEMPT_LIVE,
    AttemptState.LOST: ATTEMPT_LIVE,
}


class AttemptNodeState(TextChoices):
    """One node's part of an attempt over several nodes."""

    ASSIGNED = "assigned"
    PREPARING = "preparing"  # its supervisor takes the devices
    PREPARED = "armed"  # it holds them and waits for the other nodes
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"


ATTEMPT_NODE_LIVE = (
    AttemptNodeState.ASSIGNED,
    AttemptNodeState.PREPARING,
    AttemptNodeState.PREPARED,
    AttemptNodeState.RUNNING,
)
ATTEMPT_NODE_MOVES: dict[str, tuple[str, ...]] = {
    AttemptNodeState.PREPARING: (AttemptNodeState.ASSIGNED,),
    AttemptNodeState.PREPARED: (AttemptNodeState.PREPARING,),
    AttemptNodeState.RUNNING: (AttemptNodeState.PREPARED,),
    AttemptNodeState.SUCCEEDED: (AttemptNodeState.PREPARED, AttemptNodeState.RUNNING),
    AttemptNodeState.STOPPED: ATTEMPT_NODE_LIVE,
    AttemptNodeState.FAILED: ATTEMPT_NODE_LIVE,
    AttemptNodeState.LOST: ATTEMPT_NODE_LIVE,
}


class Cause(TextChoices):
    """Why an attempt ended, for programs: engine.directory.Cause, and what only agent and scheduler can see."""

    DONE = "done"
    WORKLOAD = "workload"
    TIME_LIMIT = "time_limit"
    STOPPED = "stopped"
    AGENT_SILENT = "agent_silent"
    DEVICE_HELD = "device_held"
    SUPERVISOR = "supervisor"
    LAUNCH = "launch"  # the supervisor could not be started, or ended before its first word
    RESTART = "restart"  # the machine was restarted
    LOST = "lost"  # the node has been silent for too long
    HUNG = "hung"  # no rank made progress any more
    GANG = "gang"  # its nodes did not come together


# Failures that are not the job's own doing: they cost nothing of its retry budget.
INFRASTRUCTURE_CAUSES = (Cause.DEVICE_HELD, Cause.SUPERVISOR, Cause.LAUNCH)


class StateError(Exception):
    """A user asked for a move that the job's state does not allow; the message says which and why."""
