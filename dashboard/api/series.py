"""Series by column: as JSON for scripts, packed for charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from dashboard.access import get_scope
from dashboard.api import packed
from dashboard.api.shapes import Refusal, SeriesReply
from dashboard.server import replies
from engine.request_limits import SERIES_CELLS, SERIES_NAMES, SERIES_POINTS, SERIES_SOURCES
from engine.telemetry.metrics import BY_NAME
from jobs import series
from jobs.models import Run
from jobs.series.absence import absent_series, lacks_energy
from jobs.series.axis import X

router = Router(tags=["series"])

Names = Annotated[list[str], Field(min_length=1, max_length=SERIES_NAMES)]
Place = Annotated[float, Field(allow_inf_nan=False)]


class SeriesQuery(Schema):
    """Metrics and sources (all by default) between `lo` and `hi` on x, each as at most `points` buckets.

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


class ComparisonQuery(SeriesQuery):
    run: Names


@router.get("/runs/{run_id}/series", response={200: SeriesReply, 404: Refusal})
def of_run(request: HttpRequest, run_id: str, window: Query[SeriesQuery]) -> HttpResponse:
    """Series of one run: all points if they fit, else buckets with minimum, maximum and mean."""
    return series_reply([get_scope(request).get(Run, run_id)], window)


@router.get("/series", response={200: SeriesReply, 404: Refusal})
def of_runs(request: HttpRequest, window: Query[ComparisonQuery]) -> HttpResponse:
    """Series of several runs, on one shared grid of buckets."""
    wanted = list(dict.fromkeys(window.run))
    if len(rows := find_runs(wanted, get_scope(request).opened(Run))) != len(wanted):
        raise Http404
    return series_reply(rows, window)


def find_runs(run_ids: Sequence[str], among: QuerySet[Run] | None = None) -> list[Run]:
    """The existing runs of these ids, in this order, with the columns for a chart. `among`: the allowed runs."""
    rows = (Run.objects.all() if among is None else among).select_related(None).only("id", "missing")
    there = {run.id: run for run in rows.filter(id__in=run_ids)}
    return [there[run_id] for run_id in run_ids if run_id in there]


def series_reply(runs: Sequence[Run], window: SeriesQuery) -> HttpResponse:
    """Raises series.TooMuch."""
    metrics = list(dict.fromkeys(window.metric))
    lines = series.read(
        [run.id for run in runs if not (window.x == "energy" and lacks_energy(run))],
        metrics,
        x=window.x,
        points=window.points,
        lo=window.lo,
        hi=window.hi,
        sources=set(window.source) or None,
        limit=SERIES_CELLS,
    )
    head = {"x": window.x, "missing": absent_series(runs, metrics, lines, window.x)}
    if window.format == "packed":
        response = HttpResponse(packed.pack(head, lines, _describe), content_type=packed.CONTENT_TYPE)
    else:
        body = head | {"series": [_describe(line) | _columns(line) for line in lines]}
        response = replies.json_reply(body)
    response["Cache-Control"] = "no-store"
    return response


def _columns(line: series.Series) -> dict[str, Any]:
    return {
        "x": line.x.tolist(),
        "mean": line.mean.tolist(),
        "min": line.min.tolist(),
        "max": line.max.tolist(),
    }


def _describe(line: series.Series) -> dict[str, Any]:
    """A line without its columns."""
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
