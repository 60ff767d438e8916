"""Tone and icon of each state.

Each badge has an icon and a text, so that no state is shown by colour alone.
"""

from __future__ import annotations

from typing import NamedTuple

from jobs.models.sweeps import SweepState
from jobs.states.jobs import AttemptState, JobState
from jobs.states.nodes import READY, AdminState, DeviceHealth, Health


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
SWEEP_BADGES: dict[str, Badge] = {
    SweepState.RUNNING: Badge("busy", "play-fill"),
    SweepState.PAUSED: Badge("warn", "pause-fill"),
    SweepState.FINISHED: Badge("good", "check-circle-fill"),
    SweepState.CANCELLED: Badge("calm", "slash-circle"),
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
# Code of a waiting reason -> badge and short name
WAITING_BADGES: dict[str, tuple[Badge, str]] = {
    "AHEAD": (Badge("calm", "hourglass-split"), "queued"),
    "GANG_FIT": (Badge("busy", "hdd-stack"), "devices"),
    "RESERVED": (Badge("calm", "bookmark-check"), "reserved"),
    "QUOTA": (Badge("warn", "slash-circle"), "quota"),
    "BUDGET": (Badge("warn", "slash-circle"), "budget"),
    "POOL_CLOSED": (Badge("warn", "slash-circle"), "pool closed"),
    "NODE_DRAINED": (Badge("warn", "slash-circle"), "node drained"),
    "CHECKPOINT_AWAY": (Badge("bad", "eye-slash"), "checkpoint away"),
    "CHECKPOINT_FAILED": (Badge("warn", "exclamation-triangle"), "checkpoint not copied"),
    "CHECKPOINT_LOST": (Badge("bad", "exclamation-circle-fill"), "checkpoint lost"),
    "NO_NODE": (Badge("bad", "exclamation-circle-fill"), "no node"),
}
NODE_BADGES: dict[str, Badge] = {
    READY: Badge("good", "check-circle-fill"),
    AdminState.CORDONED: Badge("warn", "slash-circle"),
    AdminState.DRAINING: Badge("warn", "box-arrow-right"),
    AdminState.DRAINED: Badge("calm", "stop-circle"),
    AdminState.MAINTENANCE: Badge("calm", "tools"),
    AdminState.RETIRED: Badge("calm", "x-lg"),
    Health.SUSPECT: Badge("warn", "exclamation-triangle"),
    Health.UNREACHABLE: Badge("bad", "eye-slash"),
    Health.FAILED: Badge("bad", "exclamation-circle-fill"),
    Health.STOPPED: Badge("calm", "stop-circle"),
}
DEVICE_BADGES: dict[str, Badge] = {
    DeviceHealth.OK: Badge("good", "check-circle-fill"),
    DeviceHealth.SUSPECT: Badge("warn", "exclamation-triangle"),
    DeviceHealth.FAILED: Badge("bad", "exclamation-circle-fill"),
}
