"""Runs that are logged from outside: made, resumed, described and ended by whoever writes them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpRequest
from ninja import Schema, Status
from ninja.errors import HttpError
from pydantic import Field

from dashboard.access import Scope, get_scope
from dashboard.api.runs import router, told
from dashboard.api.shapes import Refusal, RunOut
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
from jobs.models import Run, Stream
from jobs.tracking import external_runs, params, points, run_annotations

# They are operations of the router of runs: one path has one router.
TAGS = ["tracking"]
ID = re.compile(f"[{ALPHABET}]{{12}}")
Name = Annotated[str, Field(max_length=KEY_CHARS)]
ReadingStatus = Annotated[str, Field(max_length=20)]
Reason = Annotated[str, Field(max_length=REASON_CHARS)]
Words = Annotated[dict[str, str | int | float | bool], Field(max_length=REQUEST_TAGS)]


class NewRun(Schema):
    """`id`: 12 characters of 0-9 and a-z without i, l, o and u that the writer has drawn by lot, so that it can begin
    before anybody answers; asking again with it gives the same run. `project` is made where the team has none of
    that name. `params` may be nested; what is left open (null) is left out."""

    id: str | None = None
    name: Name = ""
    project: Name = ""
    params: dict[str, Any] = {}
    tags: Words = {}
    note: Annotated[str, Field(max_length=NOTE_CHARS)] = ""
    parent: str | None = None
    started_at: datetime | None = None
    origin: Annotated[str, Field(min_length=1, max_length=40)] = "api"
    team: str | None = None


class ParamsIn(Schema):
    params: dict[str, Any]


class TagsIn(Schema):
    tags: Words = {}
    drop: Annotated[list[str], Field(max_length=REQUEST_TAGS)] = []


class Description(Schema):
    name: Annotated[str, Field(min_length=1, max_length=KEY_CHARS)] | None = None
    note: Annotated[str, Field(max_length=NOTE_CHARS)] | None = None


class End(Schema):
    """`stream`: the writer who says so; where a newer attempt has begun, nothing changes."""

    state: Literal["succeeded", "failed", "cancelled"] = "succeeded"
    ended_at: datetime | None = None
    stream: str = ""


class MissingIn(Schema):
    """Of one source, all readings that cannot be had: the status (absent, denied, ...) and the reason of each."""

    source: Annotated[str, Field(min_length=1, max_length=100)]
    missing: Annotated[dict[Name, tuple[ReadingStatus, Reason]], Field(max_length=MISSING_METRICS)]


class WriterIn(Schema):
    """`launch`: what the names of all writers of one launch begin with, before a dot; they share an attempt. `joins`:
    write into the newest attempt, whoever began it."""

    stream: str
    launch: str = ""
    joins: bool = False


class WriterOut(Schema):
    attempt: int
    last_seq: int  # every batch up to this one is here
    next_step: int  # the step after the highest of the run


@router.post(
    "/runs", tags=TAGS, response={200: RunOut, 201: RunOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def create(request: HttpRequest, asked: NewRun) -> Status:
    """A new run without a job (201), or the one that has this id already (200), as it was made."""
    scope = get_scope(request)
    team = scope.get_writable_team(asked.team)
    if asked.id is not None and (run := Run.objects.filter(id=_id(asked.id)).first()):
        run = scope.seen(Run).filter(id=run.id, team=team).first()
        if run is None:
            raise HttpError(409, f"The id {asked.id} cannot be had; draw another one, or leave it out.")
        points.refuse_job_run(run)
        return Status(200, _now(run))
    run = external_runs.begin(
        team=team,
        owner=scope.user,
        run_id=asked.id,
        name=asked.name or _name_of(asked),
        origin=asked.origin,
        project=asked.project,
        parent=scope.get(Run, asked.parent) if asked.parent else None,
        started_at=asked.started_at,
        note=asked.note,
        params=_params(asked.params),
        tags=_words(asked.tags),
    )
    return Status(201, _now(run))


@router.post(
    "/runs/{run_id}/writers", tags=TAGS, response={200: WriterOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def writer(request: HttpRequest, run_id: str, asked: WriterIn) -> dict[str, Any]:
    """Before a writer's first batch, and after a crash: where it stands. The same answer however often it asks."""
    run = get_scope(request).get_writable(Run, run_id)
    return msgspec.structs.asdict(
        points.open_writer(run, asked.stream, launch=asked.launch, joins=asked.joins)
    )


@router.post("/runs/{run_id}/params", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal})
def add_params(request: HttpRequest, run_id: str, asked: ParamsIn) -> dict[str, Any]:
    """What was chosen for the run, nested or not. 409 for another value of one that is there, and none is taken."""
    run = _own(get_scope(request), run_id)
    params.store(run, _params(asked.params))
    return _now(run)


@router.post("/runs/{run_id}/tags", tags=TAGS, response={200: RunOut, 404: Refusal, 422: Refusal})
def change_tags(request: HttpRequest, run_id: str, asked: TagsIn) -> dict[str, Any]:
    """Put on tags, the new value in place of the old one, and take off those of `drop`."""
    run = get_scope(request).get_writable(Run, run_id)
    external_runs.set_tags(run, _words(asked.tags))
    external_runs.drop_tags(run, asked.drop)
    return _now(run)


@router.patch("/runs/{run_id}", tags=TAGS, response={200: RunOut, 404: Refusal, 422: Refusal})
def describe(request: HttpRequest, run_id: str, asked: Description) -> dict[str, Any]:
    """Give a run another name or note."""
    scope = get_scope(request)
    run = scope.get_writable(Run, run_id)
    fields = {key: value for key, value in asked.dict(exclude_unset=True).items() if value is not None}
    run_annotations.change(run, actor=scope.name, **fields)
    return _now(run)


@router.post("/runs/{run_id}/heartbeat", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal})
def heartbeat(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """The writer lives, though it has no points to send."""
    run = _own(get_scope(request), run_id)
    external_runs.touch(run)
    return _now(run)


@router.post(
    "/runs/{run_id}/missing", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal, 422: Refusal}
)
def lack(request: HttpRequest, run_id: str, asked: MissingIn) -> dict[str, Any]:
    """What a source of the run cannot read, and why, in the place of what it has said of that before."""
    run = _own(get_scope(request), run_id)
    external_runs.set_missing(run, asked.source, {name: list(why) for name, why in asked.missing.items()})
    return _now(run)


@router.post("/runs/{run_id}/start", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal})
def start(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """A run that had ended goes on."""
    scope = get_scope(request)
    run = _own(scope, run_id)
    external_runs.set_state(run, "running", actor=scope.name)
    return _now(run)


@router.post("/runs/{run_id}/finish", tags=TAGS, response={200: RunOut, 404: Refusal, 409: Refusal})
def finish(request: HttpRequest, run_id: str, asked: End) -> dict[str, Any]:
    """The run has ended. Points that come later are still taken."""
    scope = get_scope(request)
    run = _own(scope, run_id)
    if not (asked.stream and points.is_superseded(run, asked.stream)):
        external_runs.set_state(run, asked.state, actor=scope.name, ended_at=asked.ended_at)
    for attempt in Stream.objects.filter(run=run).values_list("attempt", flat=True).distinct():
        series.close(run.id, attempt)
    return _now(run)


def _now(run: Run) -> dict[str, Any]:
    return told([run.id])[0]


def _own(scope: Scope, run_id: str) -> Run:
    """A run whose standing is its writer's to tell."""
    run = scope.get_writable(Run, run_id)
    points.refuse_job_run(run)
    return run


def _id(text: str) -> str:
    if not ID.fullmatch(text):
        raise external_runs.TrackingError(f"'{text[:50]}' is no id of a run: 12 characters of {ALPHABET}.")
    return text


def _name_of(asked: NewRun) -> str:
    return f"{asked.project or 'run'}-{(asked.id or '')[:4]}".strip("-")


def _params(nested: dict[str, Any]) -> dict[str, str]:
    found = params.from_spec(nested)
    if broken := REQUEST_PARAMS.error(len(found)):
        raise external_runs.TrackingError(broken)
    return found


def _words(values: Words) -> dict[str, str]:
    return {key: params.as_text(value) for key, value in values.items()}
