"""Media, output, environment and alerts of runs that scripts log."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import Field

from dashboard.access import get_scope
from dashboard.api.clocks import ReportOut
from dashboard.api.paging import page
from dashboard.api.shapes import Refusal
from dashboard.api.strict import ReplyBody, RequestBody
from engine.request_limits import (
    CONSOLE_LINES,
    ENVIRONMENT_PACKAGES,
    KEY_CHARS,
    MEDIA_ENTRIES,
    OFFSET,
    PAGE_ROWS,
    TAG_CHARS,
    text_error,
    values_error,
)
from jobs.models import Run, RunEnvironment, RunEvent
from jobs.tracking import console, external_runs, media, points

router = Router(tags=["tracking"])
Name = Annotated[str, Field(min_length=1, max_length=KEY_CHARS)]
Source = Annotated[str, Field(pattern=r"^(run|rank[0-9]{1,6})$")]
Step = Annotated[int, Field(ge=-(2**62), le=2**62)]


class MediaEntryIn(RequestBody):
    """The media of one name and step. `items`: files by the `path` of an artefact, with `caption`; or the values of a
    histogram (`counts`, `edges`) or text (`text`). `at_us`: microseconds since 1970."""

    key: Name
    kind: Literal["image", "video", "audio", "table", "histogram", "html", "text", "file"]
    step: Step
    at_us: Annotated[int, Field(ge=0, le=2**53)]
    source: Source = "run"
    items: list[dict[str, Any]]


class MediaIn(RequestBody):
    entries: Annotated[list[MediaEntryIn], Field(max_length=MEDIA_ENTRIES)]


class MediaNameOut(ReplyBody):
    key: str
    source: str
    kind: str
    num_steps: int
    first_step: int
    last_step: int


class MediaNamesOut(ReplyBody):
    names: list[MediaNameOut]


class MediaEntryOut(ReplyBody):
    key: str
    source: str
    kind: str
    step: int
    at: float
    items: list[dict[str, Any]]


class MediaPage(ReplyBody):
    items: list[MediaEntryOut]
    next_offset: int | None


class ConsoleIn(RequestBody):
    """Lines from number `first` on; they replace what was sent from there on."""

    source: Source = "run"
    first: Annotated[int, Field(ge=0, le=2**40)]
    lines: Annotated[list[str], Field(max_length=CONSOLE_LINES)]


class ConsoleOut(ReplyBody):
    source: str
    first: int
    lines: list[str]
    sources: list[str]


class EnvironmentIn(RequestBody):
    """What the run was started with. `facts`: command, python, host, git_commit, ...; `packages`: name==version."""

    facts: Annotated[dict[Name, str | int | float | bool | None], Field(max_length=200)] = {}
    packages: Annotated[
        list[Annotated[str, Field(max_length=300)]], Field(max_length=ENVIRONMENT_PACKAGES)
    ] = []


class EnvironmentOut(ReplyBody):
    facts: dict[str, Any]
    packages: list[str]


class AlertIn(RequestBody):
    title: Name
    text: Annotated[str, Field(max_length=TAG_CHARS)] = ""
    level: Literal["INFO", "WARN", "ERROR"] = "INFO"


CHANGES = {200: ReportOut, 404: Refusal, 409: Refusal, 422: Refusal}


@router.post("/runs/{run_id}/media", response=CHANGES)
def add_media(request: HttpRequest, run_id: str, body: MediaIn) -> dict[str, str]:
    """Add media entries, replacing those of the same name, source and step. The files are sent as artefacts."""
    run = _get_external_run(request, run_id)
    media.store(run, [entry.dict() for entry in body.entries])
    external_runs.touch(run)
    return {"run": run.id}


@router.get("/runs/{run_id}/media", response={200: MediaNamesOut, 404: Refusal})
def media_names(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """The names of the run's media with their kinds and steps."""
    return {
        "names": [dataclasses.asdict(one) for one in media.list_names(get_scope(request).get(Run, run_id))]
    }


@router.get("/runs/{run_id}/media/entries", response={200: MediaPage, 404: Refusal})
def media_entries(
    request: HttpRequest,
    run_id: str,
    key: str,
    source: str = "run",
    limit: int = Query(100, ge=1, le=PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:
    """The entries of one name, by step."""
    return page(media.find_entries(get_scope(request).get(Run, run_id), key, source), limit, offset)


@router.post("/runs/{run_id}/console", response=CHANGES)
def add_lines(request: HttpRequest, run_id: str, body: ConsoleIn) -> dict[str, str]:
    """Store lines that the script printed."""
    run = _get_external_run(request, run_id)
    console.store(run, body.source, body.first, body.lines)
    external_runs.touch(run)
    return {"run": run.id}


@router.get("/runs/{run_id}/console", response={200: ConsoleOut, 404: Refusal})
def lines(
    request: HttpRequest, run_id: str, source: str = "", tail: int = Query(1000, ge=1, le=100_000)
) -> dict[str, Any]:
    """The last lines that the script printed, as a terminal shows them."""
    return dataclasses.asdict(console.read_tail(get_scope(request).get(Run, run_id), source, tail))


@router.post("/runs/{run_id}/environment", response=CHANGES)
def set_environment(request: HttpRequest, run_id: str, body: EnvironmentIn) -> dict[str, str]:
    """Set what the run was started with, replacing an earlier report."""
    run = _get_external_run(request, run_id)
    if broken := values_error(body.dict()):
        raise external_runs.TrackingError(broken)
    values = {"facts": body.facts, "packages": body.packages}
    RunEnvironment.objects.update_or_create(run=run, defaults=values)
    return {"run": run.id}


@router.get("/runs/{run_id}/environment", response={200: EnvironmentOut, 404: Refusal})
def read_environment(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """What the run was started with; empty if its writer reported nothing."""
    found = RunEnvironment.objects.filter(run=get_scope(request).get(Run, run_id)).first()
    return {"facts": found.facts if found else {}, "packages": found.packages if found else []}


@router.post("/runs/{run_id}/alerts", response=CHANGES)
def add_alert(request: HttpRequest, run_id: str, body: AlertIn) -> dict[str, str]:
    """Record an alert as an event of the run."""
    scope = get_scope(request)
    run = _get_external_run(request, run_id)
    if broken := text_error(body.title + body.text):
        raise external_runs.TrackingError(broken)
    text = f"{body.level}: {body.title}" + (f"\n{body.text}" if body.text else "")
    RunEvent.objects.create(run=run, actor=scope.name, kind="run.alert", text=text)
    return {"run": run.id}


def _get_external_run(request: HttpRequest, run_id: str) -> Run:
    """A writable run without a job."""
    run = get_scope(request).get_writable(Run, run_id)
    points.refuse_job_run(run)
    return run
