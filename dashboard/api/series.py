"""Series over HTTP, column by column: as JSON for scripts, as packed numbers (dashboard/api/packed.py) for charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from dashboard.access import get_scope
from dashboard.api import packed
from dashboard.api.shapes import Drawn, Refusal
from dashboard.server import replies
from engine.request_limits import SERIES_CELLS, SERIES_NAMES, SERIES_POINTS, SERIES_SOURCES
from engine.telemetry.metrics import BY_NAME
from jobs import series
from jobs.models import Run

router = Router(tags=["series"])

X = Literal["step", "time", "relative", "tokens", "energy"]
Names = Annotated[list[str], Field(min_length=1, max_length=SERIES_NAMES)]
Place = Annotated[float, Field(allow_inf_nan=False)]
NOTHING_YET = ("absent", "No value has been recorded.")
NO_ENERGY = ("absent", "No device of this run has told the energy it used.")
PART_OF_ENERGY = ("absent", "Not all devices of this run tell the energy they used.")
NO_TOKENS = ("absent", "This run has not told how many tokens it has seen.")
NO_STEPS = ("absent", "Its readings have no step: they are taken by the clock. Choose time.")
WITHOUT = {"energy": NO_ENERGY, "tokens": NO_TOKENS}


class Window(Schema):
    """Metrics (and sources; none named: all) between `lo` and `hi` on x, each as at most `points` buckets.

    x: step; time (unix seconds); relative (seconds since the run's first point); tokens (seen so far); energy
    (joules that all devices of the run had used by then). Runs x metrics x points is at most 4,000,000.
    """

    metric: Names
    source: Annotated[list[str], Field(max_length=SERIES_SOURCES)] = []
    x: X = "step"
    points: int = Field(1000, ge=1, le=SERIES_POINTS)
    lo: Place | None = None
    hi: Place | None = None
    format: Literal["json", "packed"] = "json"


class Comparison(Window):
    run: Names


@router.get("/runs/{run_id}/series", response={200: Drawn, 404: Refusal})
def of_run(request: HttpRequest, run_id: str, window: Query[Window]) -> HttpResponse:
    """Series of one run: every bucket has its minimum, maximum and mean; every point where they fit."""
    return drawn([get_scope(request).get(Run, run_id)], window)


@router.get("/series", response={200: Drawn, 404: Refusal})
def of_runs(request: HttpRequest, window: Query[Comparison]) -> HttpResponse:
    """The same for several runs, on one grid of buckets that they share."""
    wanted = list(dict.fromkeys(window.run))
    if len(rows := found(wanted, get_scope(request).opened(Run))) != len(wanted):
        raise Http404
    return drawn(rows, window)


def found(run_ids: Sequence[str], among: QuerySet[Run] | None = None) -> list[Run]:
    """Those of these runs that are there, in this order, with what drawing them takes. `among`: whose they must be."""
    rows = (Run.objects.all() if among is None else among).select_related(None).only("id", "missing")
    there = {run.id: run for run in rows.filter(id__in=run_ids)}
    return [there[run_id] for run_id in run_ids if run_id in there]


def drawn(runs: Sequence[Run], window: Window) -> HttpResponse:
    """Raises series.TooMuch."""
    metrics = list(dict.fromkeys(window.metric))
    lines = series.read(
        [run.id for run in runs if not (window.x == "energy" and _lacks_energy(run))],
        metrics,
        x=window.x,
        points=window.points,
        lo=window.lo,
        hi=window.hi,
        sources=set(window.source) or None,
        limit=SERIES_CELLS,
    )
    head = {"x": window.x, "missing": _missing(runs, metrics, lines, window.x)}
    if window.format == "packed":
        response = HttpResponse(packed.pack(head, lines, _words), content_type=packed.CONTENT_TYPE)
    else:
        body = head | {"series": [_words(line) | _columns(line) for line in lines]}
        response = replies.json_reply(body)
    response["Cache-Control"] = "no-store"
    return response


def _lacks_energy(run: Run) -> bool:
    """What only some of its devices used is not what the run used."""
    return any("energy_j" in said for said in run.missing.values())


def _columns(line: series.Series) -> dict[str, Any]:
    return {
        "x": line.x.tolist(),
        "mean": line.mean.tolist(),
        "min": line.min.tolist(),
        "max": line.max.tolist(),
    }


def _words(line: series.Series) -> dict[str, Any]:
    """What is said of a line beside its columns."""
    row = BY_NAME.get(line.metric)
    return {
        "run": line.run,
        "metric": line.metric,
        "source": line.source,
        "unit": row.unit if row else "",
        "label": row.label if row else line.metric,
        "is_raw": line.is_raw,
        "count": line.count,
        "non_finite": line.non_finite,
        "borders": line.borders,
        "border_attempts": line.border_attempts,
        "superseded": line.superseded,
    }


def _missing(
    runs: Sequence[Run], metrics: list[str], drawn: list[series.Series], x: X
) -> dict[str, dict[str, dict[str, tuple[str, str]]]]:
    """Why each thing that was asked for has no line."""
    there = {(line.run, line.metric) for line in drawn}
    found: dict[str, dict[str, dict[str, tuple[str, str]]]] = {}
    for run in runs:
        for metric in metrics:
            reasons = {source: said[metric] for source, said in run.missing.items() if metric in said}
            if not reasons and (run.id, metric) not in there:
                reasons = {
                    "": PART_OF_ENERGY if x == "energy" and _lacks_energy(run) else _why_not(metric, x)
                }
            if reasons:
                found.setdefault(run.id, {})[metric] = reasons
    return found


def _why_not(metric: str, x: X) -> tuple[str, str]:
    row = BY_NAME.get(metric)
    if row and row.scope == "device" and x in ("step", "tokens"):
        return NO_STEPS
    return WITHOUT.get(x, NOTHING_YET)
