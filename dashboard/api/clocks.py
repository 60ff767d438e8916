"""Clocks and hosts of runs that Fourwalls did not launch."""

from __future__ import annotations

from typing import Annotated, Literal

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from dashboard.access import get_scope
from dashboard.api.shapes import Refusal
from dashboard.api.strict import RequestBody
from jobs.models import Run
from jobs.tracking import clocks, external_runs, points

router = Router(tags=["tracking"])
Seconds = Annotated[float, Field(ge=0, le=1e12)]
ShortName = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[\w.:-]+$")]
Label = Annotated[str, Field(max_length=200)]


class ClockIn(RequestBody):
    """The clock of a writer since its start. `seconds`: by part of the ledger, adding up to `at - began_at`; `named`:
    of phases with names of the script's own. `began_at`, `at`: unix seconds. `steps`: done, `failed_steps`: ended by an
    exception."""

    stream: ShortName
    began_at: Seconds
    at: Seconds
    seconds: Annotated[dict[str, Seconds], Field(max_length=64)]
    named: Annotated[dict[Label, Seconds], Field(max_length=64)] = {}
    steps: Annotated[int, Field(ge=0, le=2**62)] = 0
    failed_steps: Annotated[int, Field(ge=0, le=2**62)] = 0
    is_final: bool = False


class HostDeviceIn(RequestBody):
    """`id`: as in the source `device:<id>` of its readings. `memory_bytes`: its capacity."""

    id: ShortName
    kind: Literal["cpu", "cuda"]
    name: Label = ""
    index: Annotated[int, Field(ge=0, le=10_000)] = 0
    memory_bytes: Annotated[int, Field(ge=0, le=2**62)] | None = None
    cores: Annotated[float, Field(ge=0, le=1e6)] | None = None


class HostIn(RequestBody):
    """One machine of a run. `facts` is shown as it is."""

    name: ShortName
    facts: Annotated[dict[Label, Label | float | int | None], Field(max_length=64)] = {}
    devices: Annotated[list[HostDeviceIn], Field(max_length=256)] = []


class ReportOut(Schema):
    run: str


@router.post("/runs/{run_id}/clock", response={200: ReportOut, 404: Refusal, 409: Refusal, 422: Refusal})
def report_clock(request: HttpRequest, run_id: str, body: ClockIn) -> dict[str, str]:
    """Report where the time of a writer went so far, replacing its earlier report. 422 if the parts do not add up."""
    run = get_scope(request).get_writable(Run, run_id)
    points.refuse_job_run(run)
    clocks.store_clock(run, **body.dict())
    external_runs.touch(run)
    return {"run": run.id}


@router.post("/runs/{run_id}/hosts", response={200: ReportOut, 404: Refusal, 409: Refusal, 422: Refusal})
def report_host(request: HttpRequest, run_id: str, body: HostIn) -> dict[str, str]:
    """Report a machine of a run and its devices, replacing its earlier report."""
    run = get_scope(request).get_writable(Run, run_id)
    points.refuse_job_run(run)
    clocks.store_host(run, body.name, body.facts, [device.dict() for device in body.devices])
    return {"run": run.id}
