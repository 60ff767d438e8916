"""Actions on a job, read by the buttons and by their view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobs.models import Job
from jobs.queue import job_actions, restart
from jobs.scheduler import idle
from jobs.states.jobs import JobState

STOPS_LATER = "will stop after the current step."


@dataclass(frozen=True)
class JobAction:
    name: str  # in the address
    title: str
    icon: str
    act: Callable[..., Job]
    done: str  # follows the job's name in the message
    states: tuple[str, ...]  # that allow it
    tone: str = "plain"
    question: str = ""  # to confirm it
    condition: Callable[[Job], bool] = lambda job: True  # beside the state

    def is_allowed(self, job: Job) -> bool:
        """A stopping job can be resumed if it was to be paused, and cancelled if it was not to be cancelled."""
        if job.state == JobState.STOPPING:
            return {"resume": job.wanted_state == "paused", "cancel": job.wanted_state != "cancelled"}.get(
                self.name, False
            )
        return job.state in self.states and self.condition(job)


ACTIVE = (JobState.QUEUED, JobState.SCHEDULED, JobState.STARTING, JobState.RUNNING)
QUEUED_AGAIN = "waits in the queue again."
ACTIONS = {
    action.name: action
    for action in (
        JobAction("extend", "Keep devices", "clock", idle.extend, "keeps its devices for longer.", idle.HOLDING,
                  condition=lambda job: job.idle_stop_at is not None and not job.idle_extended_by),
        JobAction("retry", "Retry job", "arrow-clockwise", job_actions.retry, QUEUED_AGAIN,
                  (JobState.FAILED, JobState.CANCELLED)),
        JobAction("resume", "Resume job", "play-fill", job_actions.resume, QUEUED_AGAIN, (JobState.PAUSED,)),
        JobAction("restart", "Start from step 0", "arrow-clockwise", restart.restart, "starts from step 0.",
                  (JobState.QUEUED,), "bad",
                  "Its checkpoints are given up for good, also if their node comes back. To wait for the node costs "
                  "nothing; to start from an earlier checkpoint, use the list of checkpoints.",
                  condition=restart.is_stuck),
        JobAction("pause", "Pause job", "pause-fill", job_actions.pause, "is paused.", ACTIVE),
        JobAction(
            "cancel", "Cancel job", "x-lg", job_actions.cancel, "is cancelled.", (*ACTIVE, JobState.PAUSED), "bad",
            "It stops after the current step, and its run is kept.",
        ),
    )
}  # fmt: skip


def list_actions(job: Job) -> list[JobAction]:
    """Return the actions that the job's state allows."""
    return [action for action in ACTIONS.values() if action.is_allowed(job)]
