"""What MLflow calls things that we call otherwise: states, view types, and the tags that are columns here."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from dashboard.mlflow.errors import bad
from engine.request_limits import KEY_CHARS, whole_number
from engine.telemetry import point_limits
from jobs.models import Run
from jobs.states.jobs import JobState

STATE_OF_STATUS = {
    "RUNNING": JobState.RUNNING,
    "SCHEDULED": JobState.QUEUED,
    "FINISHED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
    "KILLED": JobState.CANCELLED,
}
STATUS_NUMBERS = ("", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")  # of the protobuf enum
STATUS_OF_STATE = {
    JobState.QUEUED: "SCHEDULED",
    JobState.PAUSED: "SCHEDULED",
    JobState.SCHEDULED: "SCHEDULED",
    JobState.STARTING: "SCHEDULED",
    JobState.RUNNING: "RUNNING",
    JobState.STOPPING: "RUNNING",
    JobState.SUCCEEDED: "FINISHED",
    JobState.FAILED: "FAILED",
    JobState.CANCELLED: "KILLED",
}
VIEWS = {
    "ACTIVE_ONLY": {"archived_at__isnull": True},
    "DELETED_ONLY": {"archived_at__isnull": False},
    "ALL": {},
}

# Tags that stand in a column of the run, so that a person who changes them here changes what MLflow's clients read.
NAME, NOTE, PARENT = "mlflow.runName", "mlflow.note.content", "mlflow.parentRunId"
TAG_COLUMNS = {NAME: "name", NOTE: "note", PARENT: "parent_id"}

NAME_PATTERN = re.compile(r"[/\w.\- :]*")


class Place(NamedTuple):
    """Where a series of MLflow's stands in our store, and by what its values are multiplied on the way in."""

    metric: str
    source: str
    scale: float = 1.0


# MLflow's names of what its client reads of the machine; all others are series of the run under their own names.
SYSTEM = re.compile(
    r"system/(?:(?P<node>[\w.\-]+)/)?gpu_(?P<index>\d+)_"
    r"(?P<what>utilization_percentage|memory_usage_megabytes|power_usage_watts)"
)
DEVICE_METRICS = {
    "utilization_percentage": ("utilisation_pct", 1.0),
    "memory_usage_megabytes": ("memory_used_bytes", 1e6),
    "power_usage_watts": ("power_w", 1.0),
}


def place_of(key: str) -> Place:
    found = SYSTEM.fullmatch(key)
    if found is None:
        return Place(key, "run")
    metric, scale = DEVICE_METRICS[found["what"]]
    node = f"{found['node']}:" if found["node"] else ""
    source = f"device:{node}gpu{found['index']}"
    # A node name too long for a source: a series of the run, under the name that its writer chose.
    return Place(key, "run") if point_limits.source_error(source) else Place(metric, source, scale)


def status_of(run: Run) -> str:
    return STATUS_OF_STATE[JobState(run.job.state if run.job else run.state)]


def state_of(status: str | int) -> str:
    """Raises Refused for a status that there is not."""
    text = str(status)
    number = whole_number(text, len(STATUS_NUMBERS) - 1)
    name = text if number is None else STATUS_NUMBERS[number]
    if name not in STATE_OF_STATUS:
        raise bad(
            f"Invalid value '{text[:50]}' for parameter 'status' supplied: one of {', '.join(STATE_OF_STATUS)}."
        )
    return STATE_OF_STATUS[name]


def view_of(name: str) -> dict[str, bool]:
    if name not in VIEWS:
        raise bad(
            f"Invalid value '{name}' for parameter 'run_view_type' supplied: one of {', '.join(VIEWS)}."
        )
    return VIEWS[name]


def refuse_bad_name(name: str, where: str) -> None:
    """MLflow's own rules: a name may be taken for a path, and must then mean itself."""
    if not name:
        raise bad(f"Missing value for required parameter '{where}'. A key name must be provided.")
    if len(name) > KEY_CHARS:
        raise bad(f"'{where}' exceeds the maximum length of {KEY_CHARS} characters")
    parts = name.split("/")
    if not NAME_PATTERN.fullmatch(name):
        raise bad(
            f"Invalid value \"{name}\" for parameter '{where}' supplied: Names may only contain alphanumerics, "
            "underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
        )
    if "" in parts or "." in parts or ".." in parts:
        raise bad(
            f"Invalid value \"{name}\" for parameter '{where}' supplied: Names may be treated as files in certain "
            "cases, and must not resolve to other names when treated as such."
        )


def millis(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)


def moment(ms: float | None, where: str) -> datetime | None:
    """The time of so many milliseconds since 1970, an integer of any size or a float. Raises Refused."""
    if ms is None:
        return None
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise bad(
            f"Invalid value for parameter '{where}' supplied: these milliseconds since 1970 lie in no year."
        ) from None
