"""MLflow's vocabulary: states, view types, tags that are columns, system metrics."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from dashboard.mlflow.errors import invalid
from engine.request_limits import KEY_CHARS, whole_number
from jobs.models import Run
from jobs.states.jobs import JobState
from jobs.tracking import system_metrics
from jobs.tracking.system_metrics import SeriesLocation

STATES = {
    "RUNNING": JobState.RUNNING,
    "SCHEDULED": JobState.QUEUED,
    "FINISHED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
    "KILLED": JobState.CANCELLED,
}
STATUS_NUMBERS = ("", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")  # of the protobuf enum
STATUSES = {
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

# Tags stored in columns of the run, so that changes on the run's page reach MLflow's clients.
NAME, NOTE, PARENT = "mlflow.runName", "mlflow.note.content", "mlflow.parentRunId"
TAG_COLUMNS = {NAME: "name", NOTE: "note", PARENT: "parent_id"}

NAME_PATTERN = re.compile(r"[/\w.\- :]*")


def series_location(key: str) -> SeriesLocation:
    """MLflow's system metrics of devices are stored as series of the device; all others as series of the run."""
    return system_metrics.locate(key, system_metrics.ROWS_OF_MLFLOW)


def status_from_run(run: Run) -> str:
    return STATUSES[JobState(run.job.state if run.job else run.state)]


def state_from_status(status: str | int) -> str:
    """Raises MlflowError for an unknown status."""
    text = str(status)
    number = whole_number(text, len(STATUS_NUMBERS) - 1)
    name = text if number is None else STATUS_NUMBERS[number]
    if name not in STATES:
        raise invalid(
            f"Invalid value '{text[:50]}' for parameter 'status' supplied: one of {', '.join(STATES)}."
        )
    return STATES[name]


def view_filter(name: str) -> dict[str, bool]:
    if name not in VIEWS:
        raise invalid(
            f"Invalid value '{name}' for parameter 'run_view_type' supplied: one of {', '.join(VIEWS)}."
        )
    return VIEWS[name]


def refuse_bad_name(name: str, where: str) -> None:
    """MLflow's rules for keys: a key may be used as a path and must then be canonical."""
    if not name:
        raise invalid(f"Missing value for required parameter '{where}'. A key name must be provided.")
    if len(name) > KEY_CHARS:
        raise invalid(f"'{where}' exceeds the maximum length of {KEY_CHARS} characters")
    parts = name.split("/")
    if not NAME_PATTERN.fullmatch(name):
        raise invalid(
            f"Invalid value \"{name}\" for parameter '{where}' supplied: Names may only contain alphanumerics, "
            "underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
        )
    if "" in parts or "." in parts or ".." in parts:
        raise invalid(
            f"Invalid value \"{name}\" for parameter '{where}' supplied: Names may be treated as files in certain "
            "cases, and must not resolve to other names when treated as such."
        )


def millis(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)


def moment(ms: float | None, where: str) -> datetime | None:
    """The time of milliseconds since 1970, an integer of any size or a float. Raises MlflowError."""
    if ms is None:
        return None
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise invalid(
            f"Invalid value for parameter '{where}' supplied: these milliseconds since 1970 lie in no year."
        ) from None
