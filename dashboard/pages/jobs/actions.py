"""What a person may ask of a job: one row a wish, read by buttons and by the view behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobs.models import Job
from jobs.queue import job_actions
from jobs.scheduler import idle
from jobs.states.jobs import JobState

LATER = "will stop at the next step border."


@dataclass(frozen=True)
class Wish:
    name: str  # in the address
    title: str
    icon: str
    ask: Callable[..., Job]
    done: str  # what is said of the job, once it is so
    states: tuple[str, ...]  # in which it is offered
    tone: str = "plain"
    question: str = ""  # asked first
    needs: Callable[[Job], bool] = lambda job: True  # beside the state

    def is_open_to(self, job: Job) -> bool:
        """A job that stops already can be resumed, if it was to be paused, and cancelled, unless it is."""
        if job.state == JobState.STOPPING:
            return {"resume": job.wanted_state == "paused", "cancel": job.wanted_state != "cancelled"}.get(
                self.name, False
            )
        return job.state in self.states and self.needs(job)


UNDER_WAY = (JobState.QUEUED, JobState.SCHEDULED, JobState.STARTING, JobState.RUNNING)
WAITS = "waits in the queue again."
WISHES = {
    wish.name: wish
    for wish in (
        Wish("extend", "Keep devices", "clock", idle.extend, "keeps its devices for longer.", idle.HOLDING,
             needs=lambda job: job.idle_stop_at is not None and not job.idle_extended_by),
        Wish("retry", "Retry", "arrow-clockwise", job_actions.retry, WAITS, (JobState.FAILED, JobState.CANCELLED)),
        Wish("resume", "Resume", "play-fill", job_actions.resume, WAITS, (JobState.PAUSED,)),
        Wish("pause", "Pause", "pause-fill", job_actions.pause, "is paused.", UNDER_WAY),
        Wish(
            "cancel", "Cancel", "x-lg", job_actions.cancel, "is cancelled.", (*UNDER_WAY, JobState.PAUSED), "bad",
            "It stops at the next step border and keeps its run.",
        ),
    )
}  # fmt: skip


def open_to(job: Job) -> list[Wish]:
    return [wish for wish in WISHES.values() if wish.is_open_to(job)]
