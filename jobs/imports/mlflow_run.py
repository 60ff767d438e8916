"""A run of MLflow in our terms, whichever store it comes from."""

from __future__ import annotations

from typing import Any

from jobs.imports.foreign import ForeignRun, as_time

# RunStatus (a number in files, a name in databases) -> our state.
STATES = {
    "RUNNING": "running",
    "SCHEDULED": "queued",
    "FINISHED": "succeeded",
    "FAILED": "failed",
    "KILLED": "cancelled",
}
STATES |= dict(zip("12345", ["running", "queued", "succeeded", "failed", "cancelled"], strict=True))
NOTE_TAG, NAME_TAG, PARENT_TAG = "mlflow.note.content", "mlflow.runName", "mlflow.parentRunId"
STAGE_TAG, DELETED = "mlflow.lifecycle_stage", "deleted"
DEFAULT_PROJECT = "Default"
USER_TAG = "mlflow.user"


def build_run(meta: dict[str, Any], project: str, tags: dict[str, str], *, in_deleted: bool) -> ForeignRun:
    """A run without parameters and points. `in_deleted`: its experiment is deleted."""
    uuid = str(meta["run_uuid"])
    status = str(meta.get("status"))
    run = ForeignRun(
        key=f"mlflow:{uuid}",
        origin="mlflow",
        name=str(meta.get("name") or tags.get(NAME_TAG) or uuid),
        project="" if project == DEFAULT_PROJECT else project,
        state=STATES.get(status, "failed"),
        started_at=as_time(_seconds(meta.get("start_time"))),
        ended_at=as_time(_seconds(meta.get("end_time"))),
        note=tags.get(NOTE_TAG, ""),
        parent_key=f"mlflow:{tags[PARENT_TAG]}" if PARENT_TAG in tags else "",
        tags={key: value for key, value in tags.items() if key not in (NOTE_TAG, NAME_TAG)},
    )
    if status not in STATES:
        run.unknown_state = f"Its status is {status[:40]}." if "status" in meta else "It has no status."
    if (user := meta.get("user_id")) and USER_TAG not in run.tags:
        run.tags[USER_TAG] = str(user)
    if in_deleted or meta.get("lifecycle_stage") == DELETED:
        run.is_archived = True
        run.tags[STAGE_TAG] = DELETED
        if run.state in ("running", "queued"):
            run.unknown_state = f"It was {run.state} when it was deleted."
            run.state = "cancelled"
    return run


def _seconds(milliseconds: Any) -> float | None:
    """None for what is not a time."""
    try:
        return None if milliseconds is None else int(milliseconds) / 1000
    except (TypeError, ValueError, OverflowError):
        return None
