"""How each state looks: a tone and an icon, so that colour never speaks alone."""

from __future__ import annotations

from typing import NamedTuple

from jobs.states import AttemptState, JobState


class Badge(NamedTuple):
    tone: str  # calm, busy, warn, good or bad: a class of app.css
    icon: str


JOB_BADGES: dict[str, Badge] = {
    JobState.QUEUED: Badge("calm", "hourglass-split"),
    JobState.SCHEDULED: Badge("busy", "calendar-event"),
    JobState.STARTING: Badge("busy", "lightning-charge"),
    JobState.RUNNING: Badge("busy", "play-fill"),
    JobState.STOPPING: Badge("warn", "stop-circle"),
    JobState.PAUSED: Badge("warn", "pause-fill"),
    JobState.SUCCEEDED: Badge("good", "check-circle-fill"),
    JobState.FAILED: Badge("bad", "exclamation-circle-fill"),
    JobState.CANCELLED: Badge("calm", "slash-circle"),
}
ATTEMPT_BADGES: dict[str, Badge] = {
    AttemptState.ASSIGNED: Badge("busy", "calendar-event"),
    AttemptState.STARTING: Badge("busy", "lightning-charge"),
    AttemptState.RUNNING: Badge("busy", "play-fill"),
    AttemptState.SUCCEEDED: Badge("good", "check-circle-fill"),
    AttemptState.STOPPED: Badge("calm", "stop-circle"),
    AttemptState.FAILED: Badge("bad", "exclamation-circle-fill"),
    AttemptState.LOST: Badge("bad", "eye-slash"),
}
# What a waiting job waits for: the code of its reason -> its look and its short name.
WAITING: dict[str, tuple[Badge, str]] = {
    "AHEAD": (Badge("calm", "hourglass-split"), "in line"),
    "GANG_FIT": (Badge("busy", "hdd-stack"), "devices"),
    "RESERVED": (Badge("calm", "bookmark-check"), "reserved"),
    "QUOTA": (Badge("warn", "slash-circle"), "quota"),
    "BUDGET": (Badge("warn", "slash-circle"), "budget"),
    "POOL_CLOSED": (Badge("warn", "slash-circle"), "pool closed"),
    "NODE_DRAINED": (Badge("warn", "slash-circle"), "node drained"),
    "NO_NODE": (Badge("bad", "exclamation-circle-fill"), "no node"),
}
