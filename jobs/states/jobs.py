"""States of jobs and attempts, with the allowed moves.

jobs.lifecycle.transitions makes the moves.
"""

from __future__ import annotations

from django.db.models import TextChoices


class JobState(TextChoices):
    QUEUED = "queued"  # waits for devices; the reason is Job.waiting_reason
    SCHEDULED = "scheduled"  # devices are leased; the agent has not started the attempt yet
    STARTING = "starting"  # the supervisor starts the ranks
    RUNNING = "running"  # the ranks make steps
    STOPPING = "stopping"  # was asked to stop at the next step boundary
    PAUSED = "paused"  # holds no device and is not in the queue until a person resumes it
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (JobState.SCHEDULED, JobState.STARTING, JobState.RUNNING, JobState.STOPPING)
FINAL = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

# State -> the states from which a job may enter it.
MOVES: dict[str, tuple[str, ...]] = {
    # Returned to the queue, resumed, or retried by a person
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
    """State of one node of a multi-node attempt."""

    ASSIGNED = "assigned"
    PREPARING = "preparing"  # its supervisor locks the devices
    PREPARED = "armed"  # its supervisor holds them and waits for the other nodes
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
    """Why an attempt ended: the values of engine.directory.Cause, and causes that only agent and scheduler see."""

    DONE = "done"
    WORKLOAD = "workload"
    TIME_LIMIT = "time_limit"
    STOPPED = "stopped"
    AGENT_SILENT = "agent_silent"
    DEVICE_HELD = "device_held"
    SUPERVISOR = "supervisor"
    LAUNCH = "launch"  # the supervisor could not be started, or ended before it wrote a state
    RESTART = "restart"  # the machine was restarted
    LOST = "lost"  # the node sent no heartbeat for too long
    HUNG = "hung"  # no rank made progress
    GANG = "gang"  # the nodes of the gang did not start together


# Failures that the job did not cause. They do not count against its retries.
INFRASTRUCTURE_CAUSES = (Cause.DEVICE_HELD, Cause.SUPERVISOR, Cause.LAUNCH)


class StateError(Exception):
    """A user asked for a change that the current state does not allow. The message is shown to the user."""
