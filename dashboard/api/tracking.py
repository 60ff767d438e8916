"""Runs logged by external writers: create, resume, describe, finish."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from django.db import IntegrityError
from django.http import HttpRequest
from ninja import Schema, Status
from pydantic import Field

from dashboard.access import Scope, get_scope
from dashboard.api.runs import router, serialize_runs
from dashboard.api.shapes import Refusal, RunOut
from dashboard.api.strict import RequestBody
from engine.request_limits import (
    KEY_CHARS,
    MISSING_METRICS,
    NOTE_CHARS,
    REASON_CHARS,
    REQUEST_PARAMS,
    REQUEST_TAGS,
)
from jobs import series
from jobs.ids import ALPHABET
from jobs.models import Run, Stream, Team
from jobs.tracking import external_runs, params, points, run_annotations

# Operations of the router of runs, because one path has one router.
TAGS = ["tracking"]
ID = re.compile(f"[{ALPHABET}]{{12}}")
EXTERNAL_ID = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,64}")
Name = Annotated[str, Field(max_length=KEY_CHARS)]
ReadingStatus = Annotated[str, Field(max_length=20)]
Reason = Annotated[str, Field(max_length=REASON_CHARS)]
TextValues = Annotated[dict[str, str | int | float | bool], Field(max_length=REQUEST_TAGS)]


class RunIn(RequestBody):
    """`id`: 1 to 64 letters, digits, '_', '.' and '-', chosen by the writer, so that it can begin before the server
    replies; sending the same id again returns the same run. 12 random characters of 0-9 and a-z without i, l, o and u
    become the run's id; any other id is unique in its team, and paths accept it beside the run's. `project` is created
    if the team has none of that name. `params` may be nested; null values are left out."""

    id: str | None = None
    name: Name = ""
    project: Name = ""
    params: dict[str, Any] = {}
    tags: TextValues = {}
    note: Annotated[str, Field(max_length=NOTE_CHARS)] = ""
    parent: str | None = None
    started_at: datetime | None = None
    origin: Annotated[str, Field(min_length=1, max_length=40)] = "api"
    team: str | None = None


class ParamsIn(RequestBody):
    """With `replace`, an existing parameter takes the new value, which is an event of the run."""

    params: dict[str, Any]
    replace: bool = False


class TagsIn(RequestBody):
    tags: TextValues = {}
    drop: Annotated[list[str], Field(max_length=REQUEST_TAGS)] = []


class RunChange(RequestBody):
    name: Annotated[str, Field(min_length=1, max_length=KEY_CHARS)] | None = None
    note: Annotated[str, Field(max_length=NOTE_CHARS)] | None = None


class FinishIn(RequestBody):
    """`stream`: the writer that reports the end; without effect if a newer attempt has begun."""

    state: Literal["succeeded", "failed", "cancelled"] = "succeeded"
    ended_at: datetime | None = None
    stream: str = ""


class MissingIn(RequestBody):
    """All missing readings of one source: the status (absent, denied, ...) and the reason of each."""

    source: Annotated[str, Field(min_length=1, max_length=100)]
    missing: Annotated[dict[Name, tuple[ReadingStatus, Reason]], Field(max_length=MISSING_METRICS)]


class WriterIn(RequestBody):
    """`launch`: the common beginning, before a dot, of the names of all writers of one launch; they share an attempt.
    `joins`: write into the newest attempt, even of another launch."""

    stream: str
    launch: str = ""
    joins: bool = False


class WriterOut(Schema):
    attempt: int
    last_seq: int  # every batch up to this one is stored
    next_step: int  # the step after the highest of the run


@router.post(
    "/runs", tags=TAGS, response={200: RunOut, 201: RunOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def create(request: HttpRequest, body: RunIn) -> Status:
    """Create a run without a job (201), or return the existing run with this id unchanged (200)."""
    scope = get_scope(request)
    team = scope.get_writable_team(body.team)
    if body.id is not None and (run := _find_run(team, body.id)):
        points.refuse_job_run(run)
        return Status(200, _serialize(run))
    try:
        run = external_runs.begin(
            team=team,
            owner=scope.user,
            **_ids(body.id),
            name=body.name or _default_name(body),
            origin=body.origin,
            project=body.project,
            parent=scope.get(Run, body.parent) if body.parent else None,
            started_at=body.started_at,
            note=body.note,
            params=_params(body.params),
            tags=_texts(body.tags),
        )
    except IntegrityError:  # another rank has created it meanwhile
        run = _find_run(team, body.id) if body.id else None
        if run is None:
            raise
        return Status(200, _serialize(run))
    return Status(201, _serialize(run))


@router.post(
    "/runs/{run_id}/writers", tags=TAGS, response={200: WriterOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def writer(request: HttpRequest, run_id: str, body: WriterIn) -> dict[str, Any]:
    """The position of a writer, before its first batch and after a crash; idempotent."""
    run = get_scope(request).get_writable(Run, run_id)
    return msgspec.structs.asdict(points.open_writer(run, body.stream, launch=body.launch, joins=body.joins))


@router.post("/runs/{run_id}/params", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal})
def add_params(request: HttpRequest, run_id: str, body: ParamsIn) -> dict[str, Any]:
    """Add parameters, nested or not. 409 if an existing one has another value; none is added then."""
    scope = get_scope(request)
    run = _get_external_run(scope, run_id)
    params.store(run, _params(body.params), replaced_by=scope.name if body.replace else "")
    return _serialize(run)


@router.post("/runs/{run_id}/tags", tags=TAGS, response={200: RunOut, 404: Refusal, 422: Refusal})
def change_tags(request: HttpRequest, run_id: str, body: TagsIn) -> dict[str, Any]:
    """Add tags, replacing existing values, and remove those in `drop`."""
    run = get_scope(request).get_writable(Run, run_id)
    external_runs.set_tags(run, _texts(body.tags))
    external_runs.drop_tags(run, body.drop)
    return _serialize(run)


@router.patch("/runs/{run_id}", tags=TAGS, response={200: RunOut, 404: Refusal, 422: Refusal})
def describe(request: HttpRequest, run_id: str, body: RunChange) -> dict[str, Any]:
    """Change the name or note of a run."""
    scope = get_scope(request)
    run = scope.get_writable(Run, run_id)
    fields = {key: value for key, value in body.dict(exclude_unset=True).items() if value is not None}
    run_annotations.change(run, actor=scope.name, **fields)
    return _serialize(run)


@router.post("/runs/{run_id}/heartbeat", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal})
def heartbeat(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """Report that the writer is alive without sending points."""
    run = _get_external_run(get_scope(request), run_id)
    external_runs.touch(run)
    return _serialize(run)


@router.post(
    "/runs/{run_id}/missing", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def lack(request: HttpRequest, run_id: str, body: MissingIn) -> dict[str, Any]:
    """Set the missing readings of a source, replacing its earlier ones."""
    run = _get_external_run(get_scope(request), run_id)
    external_runs.set_missing(run, body.source, {name: list(why) for name, why in body.missing.items()})
    return _serialize(run)


@router.post("/runs/{run_id}/start", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal})
def start(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """Set an ended run to running."""
    scope = get_scope(request)
    run = _get_external_run(scope, run_id)
    external_runs.set_state(run, "running", actor=scope.name)
    return _serialize(run)


@router.post("/runs/{run_id}/finish", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal})
def finish(request: HttpRequest, run_id: str, body: FinishIn) -> dict[str, Any]:
    """End a run. Later points are still accepted."""
    scope = get_scope(request)
    run = _get_external_run(scope, run_id)
    if not (body.stream and points.is_superseded(run, body.stream)):
        external_runs.set_state(run, body.state, actor=scope.name, ended_at=body.ended_at)
    for attempt in Stream.objects.filter(run=run).values_list("attempt", flat=True).distinct():
        series.close(run.id, attempt)
    return _serialize(run)


def _serialize(run: Run) -> dict[str, Any]:
    return serialize_runs([run.id])[0]


def _get_external_run(scope: Scope, run_id: str) -> Run:
    """A writable run without a job."""
    run = scope.get_writable(Run, run_id)
    points.refuse_job_run(run)
    return run


def _find_run(team: Team, text: str) -> Run | None:
    """The team's run of this id. Raises TrackingError for a text that is none."""
    if not EXTERNAL_ID.fullmatch(text):
        raise external_runs.TrackingError(
            f"'{text[:50]}' is not the id of a run: 1 to 64 letters, digits, '_', '.' and '-', not only dots."
        )
    rows = Run.objects.filter(team=team)
    found = rows.filter(id=text).first() or rows.filter(external_id=text).first()
    if found is not None and found.deletion_id is not None:
        raise external_runs.TrackingError(
            f"Run {text} is in the bin. Restore it on the page of projects, or take another id."
        )
    return found


def _ids(text: str | None) -> dict[str, str]:
    """The columns of a new run's id. An id that another team has already becomes the external id of this one."""
    if text is None:
        return {}
    is_ours = ID.fullmatch(text) and not Run.objects.filter(id=text).exists()
    return {"run_id": text} if is_ours else {"external_id": text}


def _default_name(body: RunIn) -> str:
    given = body.id or ""
    return f"{body.project or 'run'}-{given[:4]}".strip("-") if ID.fullmatch(given) or not given else given


def _params(nested: dict[str, Any]) -> dict[str, str]:
    found = params.from_spec(nested)
    if broken := REQUEST_PARAMS.error(len(found)):
        raise external_runs.TrackingError(broken)
    return found


def _texts(values: TextValues) -> dict[str, str]:
    return {key: params.as_text(value) for key, value in values.items()}
